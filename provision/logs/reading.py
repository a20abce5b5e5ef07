"""Reading entries of Cloud Logging once, page by page, within the budget."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.errors import EngineError
from provision.logs.clients import LogClients
from provision.logs.entries import LogEntry, entry_from_api
from provision.logs.query import LogQuery

PAGE_ENTRIES = 1_000
READ_SECONDS = 30.0

_HINTS = {
    "Forbidden": "you need the role Logs Viewer",
    "ResourceExhausted": "the project's read quota is used up: wait a minute",
    "InvalidArgument": "check the regular expression",
}
"""Next steps, by class of the API's error."""


class LogReadError(EngineError):
    """The logs cannot be read at all: the filter is refused, or we may not."""


def read(clients: LogClients, query: LogQuery, *, sleep: Callable[[float], None] = time.sleep) -> list[LogEntry]:
    """Entries of Cloud Logging, in the query's order. Blocks; waits where the read budget is used up.

    Raises:
        LogReadError: if the service refuses, or cannot be reached within about half a minute.
    """
    from google.api_core import exceptions, retry

    policy = retry.Retry(
        predicate=retry.if_exception_type(exceptions.ServiceUnavailable, exceptions.InternalServerError),
        initial=0.5,
        maximum=8.0,
        multiplier=2.0,
        timeout=READ_SECONDS,
    )
    entries: list[LogEntry] = []
    token = ""
    while len(entries) < query.limit:
        sleep(clients.reserve(query.project))
        request = list_request(query, query.limit - len(entries), token)
        try:
            pager = clients.sync.list_log_entries(request=request, retry=policy, timeout=READ_SECONDS)
        except exceptions.GoogleAPICallError as error:
            raise read_error(error) from error
        except exceptions.RetryError as error:
            raise read_error(error.cause or error) from error
        page = next(iter(pager.pages))
        entries += [entry_from_api(entry, query.instances) for entry in type(page).pb(page).entries]
        token = page.next_page_token
        if not token:
            break
    return entries


def list_request(query: LogQuery, entries: int, token: str) -> dict[str, object]:
    """The request for one page of at most `entries`."""
    return {
        "resource_names": [f"projects/{query.project}"],
        "filter": query.to_filter(),
        "order_by": "timestamp desc" if query.newest_first else "timestamp asc",
        "page_size": min(entries, PAGE_ENTRIES),
        "page_token": token,
    }


def read_error(error: BaseException) -> LogReadError:
    """What a person reads about an error of the API."""
    message = getattr(error, "message", "") or str(error)
    hints = (_HINTS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _HINTS)
    return LogReadError(f"logs: {message}", hint=next(hints, "check the network, then run again"))
