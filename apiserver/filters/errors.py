"""The outermost filter: draws ApiErrors into Statuses, and is the only place that does.

Anything else that escapes from a filter or a handler is a bug: it is logged with its traceback under the request's audit
id, and the client gets a 500 that tells it nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import re

import orjson

from apimachinery import errors, uids
from apimachinery.errors import ApiError
from apiserver import negotiate
from apiserver.filters.base import Proceed, Request
from apiserver.storage.base import Unavailable, Untransformable
from serving.reply import Reply

log = logging.getLogger(__name__)

_AUDIT_ID_LIMIT = 64


class Errors:
    """Gives the request its audit id, and every answer the headers that all have."""

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        given = request.headers.get("Audit-ID")
        request.audit_id = given[:_AUDIT_ID_LIMIT] if given else uids.new()
        try:
            reply = await proceed(request)
        except ApiError as error:
            reply = draw(request, error)
        except TimeoutError:
            reply = _timed_out()
        except Untransformable as error:
            log.error("%s %s: %s", request.method, request.raw_path, error)
            reply = draw(request, errors.internal_error(str(error)))
        except Unavailable as error:
            log.error("storage is unavailable: %s", error)
            reason = f": {error.reason}" if error.reason else ""
            reply = draw(request, errors.service_unavailable(f"the storage backend is unavailable{reason}"))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("%s %s failed, audit id %s", request.method, request.raw_path, request.audit_id)
            reply = draw(request, errors.internal_error("the server has failed on this request; its log says why"))
        if reply.headers and any(name == "Cache-Control" for name, _ in reply.headers):
            reply.headers.insert(0, ("Audit-Id", request.audit_id))
        else:
            reply.headers[:0] = (("Audit-Id", request.audit_id), ("Cache-Control", "no-cache, private"))
        if request.reply_headers:
            reply.headers.extend(request.reply_headers)
        if request.warnings:
            reply.headers.extend(("Warning", text) for text in warning_headers(request.warnings))
        return reply


def _timed_out() -> Reply:
    """As the original writes it, past its own encoders: a Status without its kind, as plain text."""
    status = errors.timeout("request did not complete within the allotted timeout").to_status()
    body = {name: value for name, value in status.items() if name not in ("kind", "apiVersion")}
    return Reply(504, orjson.dumps({**body, "details": {}, "code": 504}) + b"\n", "text/plain; charset=utf-8")


def draw(request: Request, error: ApiError) -> Reply:
    """The error as an answer in a form that the client accepts."""
    if isinstance(error, PlainText):
        reply = Reply(
            error.code, error.message.encode(), "text/plain; charset=utf-8", [("X-Content-Type-Options", "nosniff")]
        )
    else:
        form = negotiate.error_output(request)
        reply = Reply(error.code, negotiate.render(error.to_status(), form), form.media_type)
    if error.retry_after is not None:
        reply.headers.append(("Retry-After", str(error.retry_after)))
    return reply


class PlainText(ApiError):
    """An answer outside the API's paths: the original's HTTP library answers those in plain text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, "", text)


def page_not_found() -> PlainText:
    return PlainText(404, "404 page not found\n")


def route_not_found() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed() -> ApiError:
    text = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", text, details={})


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_WARNINGS = 80  # clients in Python do not read more than 100 headers
_WARNING_BYTES = 4 * 1024  # in all; beyond it each text is cut to 256 characters, as the original does


def warning_headers(texts: list[str]) -> list[str]:
    """Warning headers' values (RFC 7234): code 299, no agent, the text quoted; each text once, those fit for a header."""
    unique = [text for text in dict.fromkeys(texts) if text and not _CONTROL.search(text)]
    if sum(map(len, unique)) <= _WARNING_BYTES and len(unique) <= _WARNINGS:
        drawn = [_quote(text) for text in unique]
        if sum(map(len, drawn)) <= _WARNING_BYTES:
            return drawn
    total = 0
    kept: list[str] = []
    for text in unique:
        value = _quote(text[:256])
        total += len(value)
        if total > _WARNING_BYTES or len(kept) == _WARNINGS:
            break
        kept.append(value)
    return kept


def _quote(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
