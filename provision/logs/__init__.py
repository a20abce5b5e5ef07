"""Reading the fleet's logs: one query, one kind of entry, several places (Cloud Logging, log objects).

Cloud Logging allows 60 reads a minute for a whole project, so everything here draws on one budget, and status never comes
from logs. A tail is one session for all VMs; what it missed while the link was down is read back on every reconnect.
"""

from provision.logs.clients import LogClients, ReadBudget, make_clients
from provision.logs.entries import LogEntry, Source, merge
from provision.logs.log_objects import LogStore, read_log_objects
from provision.logs.query import LogQuery, quote
from provision.logs.reading import LogReadError, read
from provision.logs.tailing import Batch, tail

__all__ = [
    "Batch",
    "LogClients",
    "LogEntry",
    "LogQuery",
    "LogReadError",
    "LogStore",
    "ReadBudget",
    "Source",
    "make_clients",
    "merge",
    "quote",
    "read",
    "read_log_objects",
    "tail",
]
