"""componentstatuses: what the server can say of the components beside it. Not stored; deprecated since v1.19."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apiserver.filters.base import Request
from apiserver.handlers import transform
from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Obj
from serving.reply import Reply


def _statuses(scope: Scope) -> list[Obj]:
    """The store is healthy, or this would not be answered; the others are asked by nobody any more."""
    condition = {"type": "Healthy", "status": "True", "message": "ok"}
    return [{"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": "etcd-0"}, "conditions": [condition]}]


def _sheet(scope: Scope) -> transform.Sheet:
    kind = scope.kind
    return transform.Sheet(kind.columns, scope.type, lambda obj: kind.cells(obj, scope.server.clock))


async def list_(scope: Scope, request: Request) -> Reply:
    form = scope.wanted(request)
    items = _statuses(scope)
    if form.kind:
        return transform.foreign_list(scope, request, form, items, _sheet(scope))
    document: dict[str, Any] = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}}
    document["items"] = [
        {name: value for name, value in item.items() if name not in ("kind", "apiVersion")} for item in items
    ]
    return scope.reply_object(form, document)


async def get(scope: Scope, request: Request) -> Reply:
    form = scope.wanted(request)
    for item in _statuses(scope):
        if item["metadata"]["name"] == request.info.name:
            if form.kind:
                return transform.foreign(scope, request, form, item, _sheet(scope))
            return scope.reply_object(form, item)
    raise errors.not_found("", "componentstatuses", request.info.name)


COLLECTION = {"GET": list_}
ITEM = {"GET": get}
