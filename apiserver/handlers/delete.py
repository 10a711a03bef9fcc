"""DELETE of one object."""

from __future__ import annotations

import orjson

from apimachinery import errors
from apiserver.filters.base import Request
from apiserver.handlers import compression, options
from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Obj
from apiserver.registry.store import Draft, Result
from apiserver.storage.entry import Entry
from serving.reply import Reply


async def delete(scope: Scope, request: Request) -> Reply:
    """200 with the object while it lingers, else with a Status that names it (or, for some kinds, the object)."""
    form = scope.wanted(request)
    opts = await options.delete_options(request)
    if request.audit is not None and request.size:
        request.audit.request_object({**opts, "apiVersion": options.INTERNAL})
    if reason := scope.kind.undeletable(request.info.name):
        raise errors.forbidden(scope.kind.group, scope.kind.plural, request.info.name, reason)
    warn_of_orphaning(scope, request, opts)
    result, gone = await scope.store.delete(scope.write(request, opts))
    status = 202 if not gone and opts.get("orphanDependents") is False else 200
    if not gone or scope.kind.returns_deleted:
        return await compression.compress(request, scope.reply(request, form, result, status))
    return scope.reply_object(form, deleted_status(scope, result), status)


def warn_of_orphaning(scope: Scope, request: Request, opts: Obj) -> None:
    """Of some kinds, when nothing is said about what depends on the object."""
    warning = scope.kind.orphaning_warning
    if warning and opts.get("propagationPolicy") is None and opts.get("orphanDependents") is None:
        request.warnings.append(warning)


def deleted_status(scope: Scope, result: Result) -> Obj:
    """What tells a client that the object with this uid is gone."""
    meta = result.obj["metadata"] if isinstance(result, Draft) else _metadata(result)
    kind = scope.kind
    details: Obj = {"name": meta["name"]}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    details["uid"] = meta.get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _metadata(entry: Entry) -> Obj:
    meta: Obj = orjson.loads(b"{" + entry.body)["metadata"]
    return meta
