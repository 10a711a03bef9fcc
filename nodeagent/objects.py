"""ConfigMaps and Secrets that this node's pods refer to: watched one by one, as a node may see no others.

Called by the worker: hold() when a pod comes, get() while it is configured, release() when it is gone. A change wakes the
pods that refer to the object. What nobody refers to is watched no longer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from apimachinery import clock as clocks
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client.api import Client
from client.informer import Informer, Informers
from client.resources import CONFIG_MAPS, SECRETS

Obj = dict[str, Any]
_Key = tuple[str, str, str]
_RESOURCES = {CONFIG_MAPS.plural: CONFIG_MAPS, SECRETS.plural: SECRETS}


class ReferencedObjects:
    """Watches by (plural, namespace, name), shared by the pods that refer to the object.

    wake: called with a pod's uid when something it refers to changed.
    """

    def __init__(self, client: Client, informers: Informers, wake: Callable[[str], None]) -> None:
        self._client = client
        self._informers = informers
        self._wake = wake
        self._watched: dict[_Key, Informer] = {}
        self._holders: dict[_Key, set[str]] = {}
        self._held: dict[str, set[_Key]] = {}

    def hold(self, uid: str, namespace: str, wanted: set[tuple[str, str]]) -> None:
        """Say what a pod refers to: (plural, name). Replaces what was said of it before."""
        keys = {(plural, namespace, name) for plural, name in wanted}
        for key in keys - self._held.get(uid, set()):
            self._holders.setdefault(key, set()).add(uid)
            if key not in self._watched:
                self._watched[key] = self._watch(key)
        for key in self._held.get(uid, set()) - keys:
            self._drop(uid, key)
        self._held[uid] = keys

    def release(self, uid: str) -> None:
        for key in self._held.pop(uid, set()):
            self._drop(uid, key)

    def _drop(self, uid: str, key: _Key) -> None:
        holders = self._holders.get(key, set())
        holders.discard(uid)
        if not holders:
            self._holders.pop(key, None)
            informer = self._watched.pop(key, None)
            if informer is not None:
                self._informers.stop(informer)

    def _watch(self, key: _Key) -> Informer:
        plural, namespace, name = key
        informer = self._informers.get(_RESOURCES[plural], namespace=namespace, field_selector=f"metadata.name={name}")

        def changed(*_: Obj) -> None:
            for uid in tuple(self._holders.get(key, ())):
                self._wake(uid)

        informer.add_handler(added=changed, updated=changed, deleted=changed)
        return informer

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        """The object, None when there is none. ApiError, Unreachable, TimeoutError when it cannot be told."""
        informer = self._watched.get((resource.plural, namespace, name))
        if informer is not None and not informer.synced:
            # The first list is under way; a moment's wait saves a request of our own.
            with contextlib.suppress(TimeoutError):
                await clocks.wait_for(self._client.clock, informer.wait_synced(), 0.5)
        if informer is not None and informer.synced:
            return informer.find(namespace, name)
        try:
            return await self._client.get(resource, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
