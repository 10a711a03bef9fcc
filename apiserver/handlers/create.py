"""POST to a collection: decode, default, set managedFields, store."""

from __future__ import annotations

from apimachinery import times
from apiserver import negotiate, offloop
from apiserver.filters.base import Request
from apiserver.handlers import compression, options
from apiserver.handlers.scope import Scope
from apiserver.registry import metadata
from apiserver.registry.conversion import running
from apiserver.registry.kind import Obj
from serving.reply import Reply

_MANAGER_LIMIT = 128


async def create(scope: Scope, request: Request) -> Reply:
    """201 with the object as stored."""
    form = scope.wanted(request)
    media_type = negotiate.input_type(request, custom=scope.custom)
    raw = await request.read()
    opts = options.create_options(request.query)
    obj = await scope.decode(request, opts)
    write = scope.write(request, opts, "")
    write.name = obj["metadata"].get("name") or ""
    write.sent = raw if media_type == negotiate.JSON else b""
    manager, now = manager_of(request, opts), times.now(scope.server.clock)

    async def prepared() -> Obj:
        # Managers that the object brings along may be of versions that only a webhook can convert to: another attempt.
        body = scope.server.copy(obj) if scope.kind.converts_by_webhook else obj
        return await offloop.run(request.size, lambda: _prepared(scope, request, body, manager, now))

    result = await scope.store.create(write, await running(scope.kind, prepared))
    return await compression.compress(request, scope.reply(request, form, result, 201))


def _prepared(scope: Scope, request: Request, obj: Obj, manager: str, now: str) -> Obj:
    """The object as the store takes it: placed, with managedFields."""
    meta: Obj = obj["metadata"]
    metadata.wipe_system_fields(meta)
    namespace = request.info.namespace
    if not namespace and scope.kind.plural == "namespaces" and not scope.kind.group:
        metadata.match_namespace(meta, "")
    else:
        metadata.match_namespace(meta, namespace if scope.namespaced else "")
    metadata.dedup_owner_references(meta, request.warnings, after_admission=False)
    return scope.to_storage(scope.managers.update(None, obj, manager=manager, now=now))


def manager_of(request: Request, opts: Obj) -> str:
    """Who a write's fields belong to: the fieldManager parameter, else what the User-Agent begins with."""
    given: str = opts.get("fieldManager") or ""
    if given:
        return given
    prefix = request.headers.get("User-Agent", "").partition("/")[0]
    if prefix.isascii() and prefix.isprintable():
        return prefix[:_MANAGER_LIMIT]
    out, size = [], 0
    for char in prefix:
        if not char.isprintable():
            continue
        size += len(char.encode("utf-8", "replace"))
        if size > _MANAGER_LIMIT:
            break
        out.append(char)
    return "".join(out)
