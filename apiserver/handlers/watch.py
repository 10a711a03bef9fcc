"""Watches: a cursor of the watch cache, written out as lines (or WebSocket messages) while it moves.

The handler itself only decides where the watch begins and in which form events go out; the stream is produced after the
filters have let go of the request. A version that is no longer kept is told as an ERROR event, as the original does.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

import orjson

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver import negotiate
from apiserver.filters.base import Request
from apiserver.handlers import get as get_handler
from apiserver.handlers.options import ListOptions
from apiserver.handlers.scope import Scope
from apiserver.handlers.selection import Selection
from apiserver.negotiate import Output
from apiserver.registry import metadata
from apiserver.registry.converted import ConvertedWatch
from apiserver.storage.base import Compacted, FutureRevision
from apiserver.storage.entry import Entry
from apiserver.storage.watch import Watch, WatchExpired
from openapi import protobuf
from serving.reply import Reply, Stream, StreamReply

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"

Line = Callable[[str, Entry], bytes]


@dataclass(frozen=True, slots=True)
class Lines:
    """How events of a watch are written. form: equal for watches that write equally. first: for the first event only."""

    form: Hashable
    make: Line
    bookmark: Callable[[int, bool], bytes]
    first: Line | None = None


async def watch(scope: Scope, request: Request, form: Output, opts: ListOptions, chosen: Selection) -> Reply:
    """200 and events until the time is up, the client leaves or the server ends."""
    if form.media_type == negotiate.YAML:
        raise errors.not_acceptable(negotiate.STREAM_TYPES)
    revision = metadata.parse_revision(opts.resource_version, of="resourceVersion")
    send_initial = opts.send_initial
    if send_initial is None and not opts.match and not revision:
        send_initial = True  # as ever; but only who asked for it is told where it ends
    if send_initial and revision:
        await get_handler.fresh(scope, revision)
    websocket = request.headers.get("Upgrade", "").lower() == "websocket"
    if websocket and form.media_type == negotiate.PROTOBUF:
        form = negotiate.DEFAULT  # its messages are text
    lines = lines_of(scope, request, form)
    clock = scope.server.clock
    seconds = float(opts.timeout) if opts.timeout else scope.server.min_watch_seconds * (1 + random.random())
    namespace = request.info.namespace or chosen.namespace

    async def begin() -> Watch | ConvertedWatch:
        return await scope.store.cache.watch(
            namespace if scope.namespaced else "",
            chosen.name if namespace or not scope.namespaced else "",
            form=lines.form,
            make=lines.make,
            start=revision if revision and not send_initial else None,
            initial=bool(send_initial),
            matches=chosen.matches,
            trigger=chosen.trigger,
            first=lines.first,
            bookmark=lines.bookmark if opts.bookmarks else None,
            initial_end=bool(opts.send_initial and opts.bookmarks),
            deadline=clock.monotonic() + seconds,
        )

    begun, request.begun = request.begun, None

    async def produce(stream: Stream) -> None:
        await _run(begin, stream.write, revision, form, begun)

    if websocket:
        from apiserver.handlers import watch_websocket

        return watch_websocket.reply(lambda send: _run(begin, send, revision, form, begun))
    binary = form.media_type == negotiate.PROTOBUF
    return StreamReply(produce, content_type=negotiate.STREAM_TYPES[1] if binary else negotiate.JSON)


async def _run(
    begin: Callable[[], Awaitable[Watch | ConvertedWatch]],
    send: Callable[[bytes], Awaitable[None]],
    revision: int,
    form: Output,
    begun: Callable[[], None] | None,
) -> None:
    """Send events until the watch is over. begun: called once the first state is sent, or there is none."""
    try:
        with await begin() as cursor:
            while begun is not None and cursor.beginning and (data := await cursor.next()):
                await send(data)
            if begun is not None:
                begun()
            while data := await cursor.next():
                await send(data)
    except WatchExpired:
        await send(_error(form, errors.expired("too old resource version: the watch has fallen behind")))
    except Compacted as error:
        text = f"too old resource version: {revision} ({error.compacted})"
        await send(_error(form, errors.expired(text)))
    except ApiError as error:
        await send(_error(form, error))
    except FutureRevision as error:
        await send(_error(form, get_handler.too_large_revision(error.revision, error.current)))


def _error(form: Output, error: ApiError) -> bytes:
    """An ERROR event."""
    if form.media_type == negotiate.PROTOBUF:
        return protobuf.watch_frame("ERROR", negotiate.to_protobuf(error.to_status()))
    return b'{"type":"ERROR","object":' + orjson.dumps(error.to_status()) + b"}\n"


def lines_of(scope: Scope, request: Request, form: Output) -> Lines:
    """The lines for a form of output."""
    if form.kind:
        from apiserver.handlers import transform

        return transform.lines(scope, request, form)
    if form.media_type == negotiate.PROTOBUF:
        return Lines(
            scope.message_form,
            lambda kind, entry: protobuf.watch_frame(kind, scope.protobuf(scope.message(entry))),
            lambda revision, initial: protobuf.watch_frame("BOOKMARK", _protobuf_bookmark(scope, revision, initial)),
        )
    opening, body = scope.opening, scope.body
    starts = {name: b'{"type":"%s","object":' % name.encode() + opening for name in ("ADDED", "MODIFIED", "DELETED")}
    if scope.direct:

        def make(kind: str, entry: Entry) -> bytes:
            return b"".join((starts[kind], entry.body, b"}\n"))

    else:

        def make(kind: str, entry: Entry) -> bytes:
            return b"".join((starts[kind], body(entry), b"}\n"))

    return Lines(scope.body_form, make, lambda revision, initial: _bookmark(scope, revision, initial))


def bookmark_metadata(revision: int, initial: bool) -> dict[str, object]:
    meta: dict[str, object] = {"resourceVersion": str(revision)}
    if initial:
        meta["annotations"] = {_INITIAL_EVENTS_END: "true"}
    return meta


def _protobuf_bookmark(scope: Scope, revision: int, initial: bool) -> bytes:
    return scope.protobuf(protobuf.encode(scope.type, {"metadata": bookmark_metadata(revision, initial)}))


def _bookmark(scope: Scope, revision: int, initial: bool) -> bytes:
    """An empty object of the kind, with what the original always writes of one."""
    obj: dict[str, object] = {"kind": scope.kind.kind, "apiVersion": scope.api_version}
    empty, _ = scope.type.decode({"metadata": bookmark_metadata(revision, initial)})
    obj.update((name, value) for name, value in empty.items() if name not in ("kind", "apiVersion"))
    return b'{"type":"BOOKMARK","object":' + orjson.dumps(obj) + b"}\n"
