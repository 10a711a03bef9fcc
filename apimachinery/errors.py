"""Errors a client can see, and the Status that each becomes.

    ApiError                 what every part raises; drawn into a Status in one place (apiserver/filters/errors.py),
                             and what client/ raises when a server answers with one

The constructors below give code, reason and text as the original's apimachinery/pkg/api/errors does. Anything that is
not an ApiError is a bug: a 500, a logged traceback, an audit id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.field import FieldError, go_quote

Json = dict[str, Any]


class ApiError(Exception):
    """An answer that is a Status of kind Failure.

    code: HTTP status. reason: metav1.StatusReason, may be empty. details: Status.details in JSON shape or None.
    retry_after: seconds for the Retry-After header, or None.
    """

    def __init__(
        self, code: int, reason: str, message: str, *, details: Json | None = None, retry_after: int | None = None
    ):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        if retry_after is not None:
            self.details = {**(details or {}), "retryAfterSeconds": retry_after}

    def to_status(self) -> Json:
        """The Status object, in the key order of the original."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: Json) -> ApiError:
        """The error that a server's Status describes."""
        details = status.get("details")
        error = cls(
            int(status.get("code") or 500),
            status.get("reason") or "",
            status.get("message") or "unknown",
            details=details,
        )
        if details and "retryAfterSeconds" in details:
            error.retry_after = int(details["retryAfterSeconds"])
        return error

    @property
    def causes(self) -> list[Json]:
        return list((self.details or {}).get("causes") or ())


def _object(group: str, plural_or_kind: str, name: str, **extra: Any) -> Json:
    details: Json = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if plural_or_kind:
        details["kind"] = plural_or_kind
    details.update(extra)
    return details


def qualified(group: str, plural: str) -> str:
    """ "pods" or "deployments.apps": how texts name a resource."""
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> ApiError:
    return ApiError(
        404, "NotFound", f"{qualified(group, plural)} {go_quote(name)} not found", details=_object(group, plural, name)
    )


def already_exists(group: str, plural: str, name: str) -> ApiError:
    return ApiError(
        409,
        "AlreadyExists",
        f"{qualified(group, plural)} {go_quote(name)} already exists",
        details=_object(group, plural, name),
    )


def conflict(group: str, plural: str, name: str, text: str) -> ApiError:
    return ApiError(
        409,
        "Conflict",
        f"Operation cannot be fulfilled on {qualified(group, plural)} {go_quote(name)}: {text}",
        details=_object(group, plural, name),
    )


OBJECT_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 with a cause per field error; kind is the type's name, not the plural."""
    errors = _first(errors)
    unique = list(dict.fromkeys(str(error) for error in errors))
    text = unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
    message = (
        f"{qualified(group, kind)} {go_quote(name)} is invalid: {text}"
        if unique
        else f"{qualified(group, kind)} {go_quote(name)} is invalid"
    )
    details = _object(group, kind, name)
    if errors:
        details["causes"] = [error.cause() for error in errors]
    return ApiError(422, "Invalid", message, details=details)


MAX_CAUSES = 1000  # that one answer tells: hundreds of thousands of bad labels fit into one request
MAX_CAUSE_CHARS = 1 << 20  # all values that an answer shows may have that many characters, and the last one any number


def _first(errors: Sequence[FieldError]) -> Sequence[FieldError]:
    """The errors that an answer has room for: all of them, for whoever means well."""
    if len(errors) <= 1:
        return errors
    shown, room = [], MAX_CAUSE_CHARS
    for error in errors[:MAX_CAUSES]:
        shown.append(error)
        room -= len(error.body())
        if room < 0:
            break
    return shown


class Unconvertible(ApiError):
    """An object that cannot be converted to the form it is stored in. detail: why, as patches tell it in words of their own."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(400, "BadRequest", message)
        self.detail = detail


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    return ApiError(401, "Unauthorized", message)


def forbidden(group: str, plural: str, name: str, text: str) -> ApiError:
    """403 from admission or authorisation. An empty plural gives the shape for non-resource requests."""
    if not plural:
        message = f"forbidden: {text}"
    elif not name:
        message = f"{qualified(group, plural)} is forbidden: {text}"
    else:
        message = f"{qualified(group, plural)} {go_quote(name)} is forbidden: {text}"
    return ApiError(403, "Forbidden", message, details=_object(group, plural, name))


def method_not_supported(group: str, plural: str, action: str) -> ApiError:
    return ApiError(
        405,
        "MethodNotAllowed",
        f'{action} is not supported on resources of kind "{qualified(group, plural)}"',
        details=_object(group, plural, ""),
    )


def not_acceptable(accepted: Sequence[str]) -> ApiError:
    return ApiError(406, "NotAcceptable", "only the following media types are accepted: " + ", ".join(accepted))


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    return ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted),
    )


def too_large(message: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", message)


def expired(message: str) -> ApiError:
    """410: a resource version or continue token that is no longer served."""
    return ApiError(410, "Expired", message)


def gone(message: str) -> ApiError:
    return ApiError(410, "Gone", message)


def timeout(message: str, retry_after: int = 0) -> ApiError:
    return ApiError(504, "Timeout", f"Timeout: {message}", details={}, retry_after=retry_after or None)


def service_unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def internal_error(message: str) -> ApiError:
    return ApiError(
        500,
        "InternalError",
        f"Internal error occurred: {message}",
        details={"causes": [{"message": message}]},
    )


def is_reason(error: BaseException, *reasons: str) -> bool:
    """Whether the error is an ApiError with one of these reasons."""
    return isinstance(error, ApiError) and error.reason in reasons
