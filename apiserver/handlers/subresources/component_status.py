"""componentstatuses: what the server can say of the components beside it. Not stored; deprecated since v1.19.

As in the original, the controller manager and the scheduler are asked on this machine at their usual ports, and selectors are
not looked at.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from apimachinery import errors
from apimachinery.selectors import FieldSelector
from apiserver import outbound
from apiserver.filters.base import Request
from apiserver.handlers import options, selection, transform
from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Obj
from serving.reply import Reply

_HEALTH = {
    "controller-manager": "https://127.0.0.1:10257/healthz",
    "scheduler": "https://127.0.0.1:10259/healthz",
}
_STORE = "etcd-0"
_SECONDS = 20.0
_LONGEST = 10 * 1024  # bytes of an answer that are read, as the original's probes do


async def ask(url: str) -> tuple[bool, str]:
    """(whether it is well, what it says or why it says nothing). Its certificate is its own, and not looked at."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(url, ssl=False) as answer:
            body = (await answer.content.read(_LONGEST)).decode(errors="replace")
            if 200 <= answer.status < 400:
                return True, body
            return False, f"HTTP probe failed with statuscode: {answer.status}"
    except TimeoutError:
        return False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except aiohttp.ClientError as error:
        return False, f'Get "{url}": {outbound.words(error, "127.0.0.1")}'


async def _status(name: str) -> Obj:
    # The store is well, or this would not be answered.
    well, says = (True, "ok") if name == _STORE else await ask(_HEALTH[name])
    condition = {"type": "Healthy", "status": "True" if well else "False", "message": says}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


def _sheet(scope: Scope) -> transform.Sheet:
    kind = scope.kind
    return transform.Sheet(kind.columns, scope.type, lambda obj: kind.cells(obj, scope.server.clock))


async def list_(scope: Scope, request: Request) -> Reply:
    form = scope.wanted(request)
    opts = options.list_options(request.query)
    labels, fields = selection.parse(scope, opts.label_selector, opts.field_selector)
    if opts.watch:
        raise errors.method_not_supported("", scope.kind.plural, "watch")
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_status(name), name=f"health of {name}") for name in (*_HEALTH, _STORE)]
    items = [item for task in asked if labels.matches({}) and _selected(item := task.result(), fields)]
    if form.kind:
        return transform.foreign_list(scope, request, form, items, _sheet(scope))
    document: dict[str, Any] = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}}
    document["items"] = [
        {name: value for name, value in item.items() if name not in ("kind", "apiVersion")} for item in items
    ]
    return scope.reply_object(form, document)


def _selected(item: Obj, fields: FieldSelector) -> bool:
    known = {"metadata.name": item["metadata"]["name"]}
    return all((known.get(term.field, "") == term.value) is term.equal for term in fields.terms)


async def get(scope: Scope, request: Request) -> Reply:
    name = request.info.name
    if name != _STORE and name not in _HEALTH:
        raise errors.not_found("", "componentstatus", name)
    form = scope.wanted(request)
    item = await _status(name)
    if form.kind:
        return transform.foreign(scope, request, form, item, _sheet(scope))
    return scope.reply_object(form, item)


COLLECTION = {"GET": list_}
ITEM = {"GET": get}
