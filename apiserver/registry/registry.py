"""All stores of the server: one per stored kind, looked up by group and plural; and how the server's own parts read and write.

Called by server.py, which adds built-in kinds at start and custom ones at run time. LocalReader and LocalWriter are what
authentication, authorisation, admission, kinds and start-up hooks get: no HTTP, no authorisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from apimachinery import times
from apiserver import offloop
from apiserver.authn.user import User
from apiserver.patch import managers
from apiserver.patch.managed import FieldManager
from apiserver.registry.converted import ConvertedCache
from apiserver.registry.kind import Kind, Obj
from apiserver.registry.store import Draft, Environment, NoAdmission, Result, Store, Write
from apiserver.storage.base import Change
from apiserver.storage.cacher import Cacher, Caches

if TYPE_CHECKING:
    from apiserver.registry.crd_kind import CustomKind

SERVER_MANAGER = "kube-apiserver"
SERVER_USER = User("system:apiserver", groups=("system:masters", "system:authenticated"))


def storage_prefix(kind: Kind) -> str:
    """Where the kind's objects are kept, with a closing slash."""
    return f"/registry/{kind.group or 'core'}/{kind.plural}/"


class Registry:
    """The stores."""

    def __init__(self, caches: Caches, environment: Environment) -> None:
        self.caches = caches
        self.environment = environment
        self.stores: dict[tuple[str, str], Store] = {}

    def add(self, kind: Kind) -> Store:
        """The store of a kind, made if there is none; of the kind that it shares with."""
        if kind.shares is not None:
            return self.stores[kind.shares]
        attributes = partial(_attributes, kind)
        cache = self.caches.resource(storage_prefix(kind), attributes)
        store = Store(kind, cache, self.environment)
        self.stores[kind.group, kind.plural] = store
        return store

    async def renew(self, kind: Kind) -> Store | None:
        """Put a loaded store of a changed (or new) custom kind in place; the store before it, which the caller closes."""
        before = self.stores.get((kind.group, kind.plural))
        if before is not None:
            self.caches.forget(before.whole)
        cache = self.caches.resource(storage_prefix(kind), partial(_attributes, kind))
        await cache.start()
        self.stores[kind.group, kind.plural] = self.store_in(kind, cache)
        return before

    def store_in(self, kind: Kind, cache: Cacher) -> Store:
        """A store of a custom kind that works in the version that `kind` does, over the resource's one cache."""
        if not kind.converts_by_webhook:
            return Store(kind, cache, self.environment)
        custom = cast("CustomKind", kind)
        return Store(kind, ConvertedCache(cache, custom, partial(_attributes, kind)), self.environment)

    def remove(self, kind: Kind) -> Store | None:
        return self.stores.pop((kind.group, kind.plural), None)

    def get(self, group: str, plural: str) -> Store | None:
        return self.stores.get((group, plural))


def _attributes(kind: Kind, obj: Obj, version: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return obj["metadata"].get("labels") or {}, kind.selectable_fields(obj)


class LocalReader:
    """registry.kind.NotifyingReader over the stores."""

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._callbacks: list[tuple[str, str, Callable[[str | None, str], None]]] = []

    def connect(self, registry: Registry) -> None:
        """Begin to serve, once the stores exist and their caches were started: callbacks come after the caches."""
        self._registry = registry
        for group, plural, callback in self._callbacks:
            self._subscribe(registry, group, plural, callback)

    def _subscribe(
        self, registry: Registry, group: str, plural: str, callback: Callable[[str | None, str], None]
    ) -> None:
        prefix = f"/registry/{group or 'core'}/{plural}/"

        def deliver(changes: Sequence[Change]) -> None:
            for change in changes:
                namespace, slash, name = change.key[len(prefix) :].partition("/")
                callback(namespace, name) if slash else callback(None, namespace)

        registry.caches.backend.subscribe(prefix, deliver)

    def on_change(self, group: str, plural: str, callback: Callable[[str | None, str], None]) -> None:
        if self._registry is None:
            self._callbacks.append((group, plural, callback))
        else:
            self._subscribe(self._registry, group, plural, callback)

    def _store(self, group: str, plural: str) -> Store | None:
        return self._registry.get(group, plural) if self._registry is not None else None

    async def get(self, group: str, plural: str, namespace: str | None, name: str) -> Obj | None:
        store = self._store(group, plural)
        if store is None:
            return None
        entry = await store.cache.get(store.key(namespace or "", name))
        if entry is None:
            return None
        return await offloop.run(len(entry.body), lambda: store.decode(entry))

    async def list(self, group: str, plural: str, namespace: str | None = None) -> list[Obj]:
        store = self._store(group, plural)
        if store is None:
            return []
        listing = await store.cache.list(namespace or "")
        return [store.decode(entry) for entry in listing.entries]


class LocalWriter:
    """registry.kind.Writer over the stores. manager: who owns the fields written; "" tracks nobody."""

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._made: dict[tuple[Kind, str], FieldManager] = {}

    def connect(self, registry: Registry) -> None:
        self._registry = registry

    def _store(self, group: str, plural: str) -> Store:
        store = self._registry.get(group, plural) if self._registry is not None else None
        if store is None:
            raise LookupError(f"no store of {plural} in group {group!r}")
        return store

    def _write(self, store: Store, obj: Obj, subresource: str = "") -> Write:
        meta = obj["metadata"]
        return Write(
            user=SERVER_USER,
            version=store.kind.storage_version,
            namespace=meta.get("namespace") or "",
            name=meta.get("name") or "",
            subresource=subresource,
        )

    def _decoded(self, store: Store, result: Result) -> Obj:
        return result.obj if isinstance(result, Draft) else store.decode(result)

    def _managers(self, store: Store, subresource: str = "") -> FieldManager:
        key = (store.kind, subresource)
        made = self._made.get(key)
        if made is None:
            kind = store.kind
            made = managers.of_kind(
                kind, kind.storage_version, subresource, type_of=lambda kind, name: kind.type_info(name)
            )
            self._made[key] = made
        return made

    async def create(self, group: str, plural: str, obj: Obj, *, manager: str = SERVER_MANAGER) -> Obj:
        store = self._store(group, plural)
        obj = self._prepared(store, obj)
        if manager:
            obj = self._managers(store).update(None, obj, manager=manager, now=times.now(store.clock))
        return self._decoded(store, await store.create(self._write(store, obj), obj, admission=NoAdmission()))

    async def update(
        self, group: str, plural: str, obj: Obj, *, subresource: str = "", manager: str = SERVER_MANAGER
    ) -> Obj:
        store = self._store(group, plural)
        obj = self._prepared(store, obj)

        async def transform(live: Obj | None) -> Obj:
            if not manager:
                return obj
            fields, now = self._managers(store, subresource), times.now(store.clock)
            new = dict(obj, metadata=dict(obj["metadata"]))
            # A large object takes long to compare, and one field at a time.
            return await offloop.run(write.size, lambda: fields.update(live, new, manager=manager, now=now))

        write = self._write(store, obj, subresource)
        result, _ = await store.update(write, transform, uid=obj["metadata"].get("uid") or "", admission=NoAdmission())
        return await offloop.run(write.size, lambda: self._decoded(store, result))

    async def apply(self, group: str, plural: str, obj: Obj, *, manager: str, subresource: str = "") -> Obj:
        """Server-side apply of some fields of an object that exists, with force. ApiError NotFound."""
        store = self._store(group, plural)
        fields = self._managers(store, subresource)
        patch = {"kind": store.kind.kind, "apiVersion": store.kind.api_version(), **obj}

        async def transform(live: Obj | None) -> Obj:
            return fields.apply(live, patch, manager=manager, now=times.now(store.clock), force=True)

        result, _ = await store.update(self._write(store, obj, subresource), transform, admission=NoAdmission())
        return self._decoded(store, result)

    async def delete(self, group: str, plural: str, namespace: str | None, name: str) -> None:
        store = self._store(group, plural)
        meta = {"namespace": namespace or "", "name": name}
        await store.delete(self._write(store, {"metadata": meta}), admission=NoAdmission())

    def _prepared(self, store: Store, obj: Obj) -> Obj:
        kind = store.kind
        obj = {"kind": kind.kind, "apiVersion": kind.api_version(), **obj}
        obj["metadata"] = dict(obj["metadata"])
        kind.default(obj, kind.storage_version)
        return obj
