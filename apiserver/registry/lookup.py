"""Objects that the server's own parts look at again and again, decoded once and kept until a change is announced.

For authentication and admission: the namespace of a request, its service account, the limit ranges of a namespace. What is
returned is shared: nobody may change it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from apiserver.registry.kind import NotifyingReader, Obj

_SIZE = 8192  # objects per resource
_MISSING: Obj = {}


class Lookup:
    """One resource. get() and list() answer from memory where they can."""

    def __init__(self, reader: NotifyingReader, group: str, plural: str) -> None:
        self._reader = reader
        self._group = group
        self._plural = plural
        self._objects: OrderedDict[tuple[str | None, str], Obj] = OrderedDict()
        self._lists: OrderedDict[str | None, list[Obj]] = OrderedDict()
        self._changes = 0  # a read that a change overtakes is not kept
        reader.on_change(group, plural, self._changed)

    def _changed(self, namespace: str | None, name: str) -> None:
        self._changes += 1
        self._objects.pop((namespace, name), None)
        self._lists.pop(namespace, None)
        self._lists.pop(None, None)

    async def get(self, namespace: str | None, name: str) -> Obj | None:
        """The object, or None. Not to be changed."""
        key = (namespace, name)
        found = self._objects.get(key)
        if found is None:
            before = self._changes
            found = await self._reader.get(self._group, self._plural, namespace, name) or _MISSING
            if before == self._changes:
                self._keep(self._objects, key, found)
        return None if found is _MISSING else found

    async def list(self, namespace: str | None = None) -> list[Obj]:
        """All objects (of the namespace), by name. Not to be changed."""
        found = self._lists.get(namespace)
        if found is None:
            before = self._changes
            found = await self._reader.list(self._group, self._plural, namespace)
            if before == self._changes:
                self._keep(self._lists, namespace, found)
        return found

    @staticmethod
    def _keep(cache: object, key: object, value: object) -> None:
        kept = cast("OrderedDict[object, object]", cache)
        kept[key] = value
        if len(kept) > _SIZE:
            kept.popitem(last=False)
