"""PUT of an object or of its status: replaces what the (sub)resource writes."""

from __future__ import annotations

import orjson

from apimachinery import times
from apiserver import negotiate, offloop
from apiserver.authz.base import Attributes as Question
from apiserver.authz.base import forbidden
from apiserver.filters.base import Request
from apiserver.handlers import compression, options
from apiserver.handlers.create import manager_of
from apiserver.handlers.scope import Scope
from apiserver.registry import metadata
from apiserver.registry.kind import Obj
from serving.reply import Reply


async def update(scope: Scope, request: Request) -> Reply:
    """200 with the object, or 201 when the kind lets PUT create."""
    form = scope.wanted(request)
    raw = await request.read()
    opts = options.update_options(request.query)
    obj = await scope.decode(request, opts)
    info = request.info
    meta: Obj = obj["metadata"]
    namespace = info.namespace if scope.namespaced else ""
    metadata.match_namespace(meta, namespace)
    metadata.check_name(obj, info.name, namespace)
    metadata.dedup_owner_references(meta, request.warnings, after_admission=False)
    pristine = orjson.dumps(obj)
    first = [obj]
    manager, now = manager_of(request, opts), times.now(scope.server.clock)

    write = scope.write(request, opts)
    write.sent = raw if negotiate.input_type(request, custom=scope.custom) == negotiate.JSON else b""

    def change(live: Obj | None) -> Obj:
        new = first.pop() if first else orjson.loads(pristine)
        current = scope.from_storage(live) if live is not None else None
        return scope.to_storage(scope.managers.update(current, new, manager=manager, now=now))

    async def transform(live: Obj | None) -> Obj:
        return await offloop.run(write.size, lambda: change(live))

    result, created = await scope.store.update(
        write,
        transform,
        uid=meta.get("uid") or "",
        create_missing=scope.kind.create_on_update and not scope.sub,
        may_create=lambda: authorize_create(scope, request),
    )
    return await compression.compress(request, scope.reply(request, form, result, 201 if created else 200))


async def authorize_create(scope: Scope, request: Request) -> None:
    """403 when a PUT or apply would create and the user may not."""
    info = request.info
    question = Question(
        user=request.user,
        verb="create",
        group=info.group,
        version=info.version,
        plural=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
        path=info.path,
    )
    decision = await scope.server.authorizer.authorize(question)
    if not decision.allowed:
        raise forbidden(question, decision.reason)
