"""What the platform server refuses, in the form and the words of Google's newer REST APIs (google.rpc.Status)."""

from __future__ import annotations

from typing import Any

STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class PlatformError(Exception):
    """A refusal that the client sees."""

    def __init__(self, status: int, message: str, *, details: tuple[dict[str, Any], ...] = ()) -> None:
        """Args:
        status: HTTP status.
        message: the sentence for people.
        details: typed details, each with its `@type`.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details

    def to_json(self) -> dict[str, Any]:
        """Google's error body."""
        body: dict[str, Any] = {"code": self.status, "message": self.message, "status": STATUS_NAMES.get(self.status, "UNKNOWN")}
        if self.details:
            body["details"] = list(self.details)
        return {"error": body}


def invalid(message: str) -> PlatformError:
    """400."""
    return PlatformError(400, message)


def not_found(message: str) -> PlatformError:
    """404."""
    return PlatformError(404, message)


def permission_denied(permission: str, resource: str) -> PlatformError:
    """403 for a permission that the caller lacks."""
    message = f"Permission '{permission}' denied on resource '//{resource}' (or it may not exist)."
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": "iam.googleapis.com",
        "metadata": {"permission": permission, "resource": resource},
    }
    return PlatformError(403, message, details=(info,))


def service_disabled(service: str, project: str) -> PlatformError:
    """403 for a call to an API that the project has not enabled."""
    message = (
        f"{service} has not been used in project {project} before or it is disabled. Enable it by visiting "
        f"https://console.developers.google.com/apis/api/{service}/overview?project={project} then retry. If you enabled this API "
        "recently, wait a few minutes for the action to propagate to our systems and retry."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": service, "consumer": f"projects/{project}"},
    }
    return PlatformError(403, message, details=(info,))


def not_implemented(what: str) -> PlatformError:
    """501 that names what is missing, so that nothing is ever silently left undone."""
    return PlatformError(501, f"The local platform server does not implement {what}.")
