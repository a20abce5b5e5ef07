"""What can go wrong between us and Google Cloud, as errors of the engine's tree, so that one place makes exit codes of them.

Separate from `provision.operations`, which classifies what the service answers: this is what a caller has to catch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import EngineError, ExitCode, NotPermitted, UsageError


class ProvisionError(EngineError):
    """Base of the errors of this package that the engine has no word for."""


class CloudUnavailable(ProvisionError):
    """The service could not be reached, or answered 429 or 5xx through all retries. What was asked may have happened."""

    exit_code = ExitCode.UNAVAILABLE


class CloudRefused(ProvisionError):
    """The service understood and said no, and will say it again."""

    exit_code = ExitCode.UNAVAILABLE


class NotFound(CloudRefused):
    """There is no such resource (any more)."""


class WriteRefused(NotPermitted):
    """The profile is read-only, or protected and not armed. Nothing was sent."""


class GuardRefusal(UsageError):
    """A selection that may not be acted on: a wildcard alone, nothing at all, or another count than was confirmed."""


class PreflightFailed(ProvisionError):
    """A check before a launch found what would make it fail. Nothing was asked for."""

    def __init__(self, message: str, *, hint: str, code: ExitCode) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = code


@contextmanager
def cloud_errors(what: str) -> Iterator[None]:
    """Turn the clients' errors into ours. `what` names the call, e.g. "list the VMs of asia-northeast1-a".

    Raises:
        NotFound, NotPermitted, CloudRefused, CloudUnavailable: as the service meant it.
    """
    import requests
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except EngineError:
        raise
    except google.NotFound as error:
        raise NotFound(f"{what}: {reason_of(error)}", hint="list what there is: tickdeck fleet") from error
    except (google.Forbidden, google.Unauthorized) as error:
        if is_rate_limited(error):
            raise CloudUnavailable(f"{what}: {reason_of(error)}", hint="wait a minute, then run again") from error
        raise NotPermitted(f"{what}: {reason_of(error)}", hint='see the roles in README.md, "A real project"') from error
    except GoogleAuthError as error:
        raise NotPermitted(f"{what}: {error}", hint="run: gcloud auth application-default login") from error
    except (google.ServerError, google.TooManyRequests, google.RetryError, requests.RequestException, ConnectionError) as error:
        if isinstance(error, google.MethodNotImplemented):
            raise CloudRefused(f"{what}: {reason_of(error)}") from error
        raise CloudUnavailable(f"{what}: {reason_of(error)}", hint="check the network, then run again") from error
    except google.GoogleAPICallError as error:
        raise CloudRefused(f"{what}: {reason_of(error)}") from error


def is_rate_limited(error: BaseException) -> bool:
    """True for the 403 that means "too many requests this minute" and nothing about permissions."""
    entries = getattr(error, "errors", None) or ()
    return any(isinstance(entry, dict) and "ratelimit" in str(entry.get("reason", "")).lower() for entry in entries)


def reason_of(error: BaseException) -> str:
    """The service's own words, on one line, without the URL that the client puts in front."""
    for entry in getattr(error, "errors", None) or ():
        if isinstance(entry, dict) and entry.get("message"):
            return " ".join(str(entry["message"]).split())
    return " ".join(str(getattr(error, "message", "") or error).split())[:300] or type(error).__name__
