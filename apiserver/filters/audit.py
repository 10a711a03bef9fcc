"""Records requests as the audit policy says. Not there at all without a policy.

Stages: RequestReceived before anything is done; ResponseStarted when the answer of a watch or of a connection that lives on
begins; ResponseComplete when it is over; Panic in its place when the server failed.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver import negotiate, offloop
from apiserver.audit import policy
from apiserver.audit.events import AuditEvent
from apiserver.filters.errors import PlainText
from openapi import protobuf, schemas
from serving.reply import HijackReply, Reply, Stream, StreamReply

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from apiserver.audit import Audit
    from apiserver.filters.base import Proceed, Request

Obj = dict[str, Any]
_ENDED_EARLY: Obj = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
_TIMED_OUT: Obj = {
    "metadata": {},
    "status": "Failure",
    "message": "Timeout: request did not complete within the allotted timeout",
    "reason": "Timeout",
    "code": 504,
}
_REDACTED = "<secret contents redacted>"
_STATUS_START = b'{"kind":"Status"'


class AuditFilter:
    """One per server."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def _event(self, request: Request) -> AuditEvent | None:
        audit = self._audit
        recorded = audit.policy.evaluate(request.user, request.info)
        audit.levels.add((policy.LEVELS[recorded.level],))
        if recorded.level == policy.NONE:
            return None
        event = request.audit = AuditEvent(request, recorded, audit.clock)
        return event

    async def _received(self, event: AuditEvent) -> None:
        if not await self._audit.tell(event, "RequestReceived"):
            self._audit.rejected.add()
            raise errors.internal_error("failed to store audit event")

    async def __call__(self, request: Request, proceed: Proceed) -> Reply:
        event = self._event(request)
        if event is None:
            return await proceed(request)
        tell = self._audit.tell
        await self._received(event)
        try:
            reply = await proceed(request)
        except ApiError as error:
            await self._refused(request, event, error)
            raise
        except (asyncio.CancelledError, ConnectionError):
            transport = request.http.transport
            gone = transport is None or transport.is_closing()
            event.status = _ENDED_EARLY if gone else _TIMED_OUT
            event.impersonated()
            # The task is being cancelled: nothing may be awaited.
            self._audit.forget(event, "ResponseComplete")
            raise
        except Exception as error:
            event.status = {
                "metadata": {},
                "status": "Failure",
                "message": f"APIServer panic'd: {type(error).__name__}",
                "reason": "InternalError",
                "code": 500,
            }
            event.impersonated()
            await tell(event, "Panic")
            raise
        event.impersonated()
        event.status = {"metadata": {}, "code": reply.status}
        if isinstance(reply, StreamReply | HijackReply):
            await self._long(request, event, reply)
            return reply
        await _note_body(event, reply)
        await tell(event, "ResponseComplete")
        return reply

    async def _refused(self, request: Request, event: AuditEvent, error: ApiError) -> None:
        event.impersonated()
        if isinstance(error, PlainText):
            event.status = {"metadata": {}, "code": error.code}
        else:
            status = error.to_status()
            event.status = {name: value for name, value in status.items() if name not in ("kind", "apiVersion")}
            if event.level < policy.REQUEST and _may_quote_a_secret(request, error):
                event.status |= {"message": _REDACTED, "details": {}}
            await event.response_object(orjson.dumps(status))
        if request.long_running:
            await self._audit.tell(event, "ResponseStarted")
        await self._audit.tell(event, "ResponseComplete")

    async def _long(self, request: Request, event: AuditEvent, reply: StreamReply | HijackReply) -> None:
        """The answer is only beginning: tell so, and tell of its end when it comes."""
        if request.long_running:
            await self._audit.tell(event, "ResponseStarted")
        if isinstance(reply, StreamReply):
            produce = reply.produce

            async def produced(stream: Stream) -> None:
                try:
                    await produce(stream)
                finally:
                    self._audit.forget(event, "ResponseComplete")

            reply.produce = produced
            return
        run = reply.run

        async def ran(http: BaseRequest) -> None:
            try:
                await run(http)
            finally:
                self._audit.forget(event, "ResponseComplete")

        reply.run = ran

    async def unauthenticated(self, request: Request, error: ApiError) -> None:
        """A request whose sender could not be told apart: recorded with what it is answered."""
        event = self._event(request)
        if event is None:
            return
        event.unauthenticated()
        status = error.to_status()
        event.status = {name: value for name, value in status.items() if name not in ("kind", "apiVersion")}
        await event.response_object(orjson.dumps(status))
        await self._audit.tell(event, "ResponseStarted")


def _may_quote_a_secret(request: Request, error: ApiError) -> bool:
    """Whether a refusal's text may show the Secret that was sent or patched: whoever sent it may see that, the log may not."""
    harmless = error.code in (401, 403, 404, 405, 409, 429)
    return not harmless and (request.info.group, request.info.resource) == ("", "secrets")


async def _note_body(event: AuditEvent, reply: Reply) -> None:
    """What the answer says: the Status in it at every level, all of it at the highest."""
    body = reply.body
    if isinstance(body, bytes) and body.startswith(_STATUS_START):
        status = orjson.loads(body)
        event.status = {
            **{name: value for name, value in status.items() if name not in ("kind", "apiVersion")},
            "code": reply.status,
        }
    if event.level < policy.REQUEST_RESPONSE:
        return
    pieces: Sequence[bytes] = (body,) if isinstance(body, bytes) else body
    size = sum(map(len, pieces))
    raw = await offloop.run(size, lambda: _json(reply, pieces))
    await event.response_object(raw)


def _json(reply: Reply, pieces: Sequence[bytes]) -> bytes:
    """An answer's object as JSON, whatever form it was sent in; b"" for what is no object."""
    raw = b"".join(pieces)
    if ("Content-Encoding", "gzip") in reply.headers:
        raw = zlib.decompress(raw, wbits=31)
    media_type = reply.content_type.partition(";")[0]
    if media_type == negotiate.JSON:
        return raw if raw.startswith(b"{") else b""
    if media_type == negotiate.YAML:
        import yaml

        return orjson.dumps(yaml.load(raw, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), default=str)
    if media_type == negotiate.PROTOBUF:
        api_version, kind, message = protobuf.read(raw)
        try:
            document = protobuf.decode(schemas.load().type(f"{api_version}/{kind}"), message)
        except KeyError:
            document = {}
        return orjson.dumps({"kind": kind, "apiVersion": api_version, **document})
    return b""
