"""An in-memory NotifyingReader and Writer: what authn, authz and admission look at, without a store behind it."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from typing import Any

from apimachinery import errors

Obj = dict[str, Any]


class MemoryObjects:
    """Objects by (group, plural); compare-and-swap on resourceVersion as the store has it."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], dict[tuple[str | None, str], Obj]] = {}
        self._callbacks: dict[tuple[str, str], list[Callable[[str | None, str], None]]] = {}
        self._revision = 0
        self.reads = 0

    def put(self, group: str, plural: str, obj: Obj) -> Obj:
        """Store the object as it is, with a uid and the next resourceVersion."""
        self._revision += 1
        obj = copy.deepcopy(obj)
        meta = obj.setdefault("metadata", {})
        meta.setdefault("uid", str(uuid.uuid4()))
        meta["resourceVersion"] = str(self._revision)
        key = (meta.get("namespace"), meta["name"])
        self._objects.setdefault((group, plural), {})[key] = obj
        self._tell(group, plural, key)
        return copy.deepcopy(obj)

    def remove(self, group: str, plural: str, namespace: str | None, name: str) -> None:
        del self._objects[group, plural][namespace, name]
        self._tell(group, plural, (namespace, name))

    def _tell(self, group: str, plural: str, key: tuple[str | None, str]) -> None:
        for callback in self._callbacks.get((group, plural), ()):
            callback(*key)

    # -- NotifyingReader

    async def get(self, group: str, plural: str, namespace: str | None, name: str) -> Obj | None:
        self.reads += 1
        return copy.deepcopy(self._objects.get((group, plural), {}).get((namespace, name)))

    async def list(self, group: str, plural: str, namespace: str | None = None) -> list[Obj]:
        self.reads += 1
        found = self._objects.get((group, plural), {})
        return [copy.deepcopy(o) for (ns, _), o in sorted(found.items(), key=str) if namespace in (None, ns)]

    def on_change(self, group: str, plural: str, callback: Callable[[str | None, str], None]) -> None:
        self._callbacks.setdefault((group, plural), []).append(callback)

    # -- Writer

    async def create(self, group: str, plural: str, obj: Obj, *, manager: str = "") -> Obj:
        meta = obj["metadata"]
        if (meta.get("namespace"), meta["name"]) in self._objects.get((group, plural), {}):
            raise errors.already_exists(group, plural, meta["name"])
        return self.put(group, plural, obj)

    async def update(self, group: str, plural: str, obj: Obj, *, subresource: str = "", manager: str = "") -> Obj:
        meta = obj["metadata"]
        old = self._objects.get((group, plural), {}).get((meta.get("namespace"), meta["name"]))
        if old is None:
            raise errors.not_found(group, plural, meta["name"])
        if meta.get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise errors.conflict(group, plural, meta["name"], errors.OBJECT_MODIFIED)
        return self.put(group, plural, obj)

    async def delete(self, group: str, plural: str, namespace: str | None, name: str) -> None:
        if (namespace, name) not in self._objects.get((group, plural), {}):
            raise errors.not_found(group, plural, name)
        self.remove(group, plural, namespace, name)
