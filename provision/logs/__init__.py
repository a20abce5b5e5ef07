"""Reading the fleet's logs: one query, one kind of entry, several places (log objects, Cloud Logging, serial ports).

Cloud Logging allows 60 reads a minute for a whole project, so everything here draws on one budget, and status never comes
from logs. A tail is one session for all VMs; what it missed while the link was down is read back on every reconnect.
"""

from provision.logs.clients import LogClients, ReadBudget, ReadBudgets, make_clients
from provision.logs.entries import LogEntry, Source, merge, printable
from provision.logs.evidence import Evidence, Places, Question, find
from provision.logs.grep import Grep
from provision.logs.log_objects import LogStore, read_log_objects
from provision.logs.query import LogQuery, quote
from provision.logs.reading import LogReadError, read
from provision.logs.tailing import Batch, tail

__all__ = [
    "Batch",
    "Evidence",
    "Grep",
    "LogClients",
    "LogEntry",
    "LogQuery",
    "LogReadError",
    "LogStore",
    "Places",
    "Question",
    "ReadBudget",
    "ReadBudgets",
    "Source",
    "find",
    "make_clients",
    "merge",
    "printable",
    "quote",
    "read",
    "read_log_objects",
    "tail",
]
