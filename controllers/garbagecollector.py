"""Garbage collection: what an object owns goes with it (background, foreground), or is let go (orphan).

A graph of all objects and their owner references, kept by metadata-only watches of every deletable resource, custom ones
included, tells who may have to go; before anything is deleted the API server is asked for its latest word on the object and
its owners. Other controllers' caches are used where they exist.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.clock import timeout
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from client.api import Unreachable
from client.informer import Handler, Informer
from client.resources import API_SERVICES, CUSTOM_RESOURCE_DEFINITIONS
from controllers.base import EVENTS_RULE, Controller, Result, Retry, Rule, gather_all, ignoring_absence
from controllers.discovery import discover

log = logging.getLogger(__name__)

Obj = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
IGNORED = {"events", "events.events.k8s.io"}
RESYNC = 30.0  # seconds between looks at what is served
SYNC_TIMEOUT = 30.0  # seconds that new watches may take before work goes on without them
_ABSENT = 500  # owners remembered as absent
_DELETE, _ORPHAN = "delete:", "orphan:"


@dataclass(slots=True)
class Node:
    """An object in the graph. virtual: known only from references to it."""

    uid: str
    kind: tuple[str, str]  # (apiVersion, kind)
    namespace: str
    name: str
    resource: Resource | None = None
    owners: list[Obj] = field(default_factory=list)
    dependents: dict[str, None] = field(default_factory=dict)
    deleting: bool = False
    deleting_dependents: bool = False
    virtual: bool = False


class Graph:
    """Who owns whom. Changes return the work they call for: keys of the queue."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._absent: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def observe(self, resource: Resource, obj: Obj) -> list[str]:
        """An object was added or changed."""
        metadata = obj["metadata"]
        uid = metadata["uid"]
        node = self.nodes.get(uid)
        work: list[str] = []
        was_orphaning = was_deleting_dependents = False
        if node is None:
            node = Node(uid, (resource.api_version, resource.kind), meta.namespace(obj), metadata["name"], resource)
            self.nodes[uid] = node
        elif node.virtual:
            work += self._make_real(node, resource, obj)
        else:
            was_deleting_dependents = node.deleting_dependents
            was_orphaning = node.deleting and not node.deleting_dependents
        work += self._relink(node, meta.owners(obj))
        finalizers = metadata.get("finalizers") or ()
        node.deleting = meta.deleting(obj)
        node.deleting_dependents = node.deleting and FOREGROUND in finalizers
        if node.deleting and ORPHAN in finalizers and not was_orphaning:
            work.append(_ORPHAN + uid)
        elif node.deleting_dependents and not was_deleting_dependents:
            work += [_DELETE + dependent for dependent in node.dependents]
            work.append(_DELETE + uid)
        return work

    def _make_real(self, node: Node, resource: Resource, obj: Obj) -> list[str]:
        """The object behind references was seen; those that name it wrongly are looked at."""
        node.virtual = False
        node.resource = resource
        node.kind = (resource.api_version, resource.kind)
        node.namespace, node.name = meta.namespace(obj), meta.name(obj)
        return [_DELETE + uid for uid in node.dependents if not self._agrees(self.nodes[uid], node)]

    def _agrees(self, dependent: Node, owner: Node) -> bool:
        """Whether the dependent's reference names the owner as it is."""
        reference = next((ref for ref in dependent.owners if ref["uid"] == owner.uid), None)
        if reference is None or owner.virtual:
            return True
        same_place = owner.namespace in ("", dependent.namespace)
        return same_place and reference["kind"] == owner.kind[1] and reference["name"] == owner.name

    def _relink(self, node: Node, owners: list[Obj]) -> list[str]:
        before = {reference["uid"]: reference for reference in node.owners}
        after = {reference["uid"]: reference for reference in owners}
        node.owners = list(owners)
        work: list[str] = []
        for uid in before.keys() - after.keys():
            owner = self.nodes.get(uid)
            if owner is not None:
                owner.dependents.pop(node.uid, None)
                work += self._unblocked(owner)
        for uid, reference in after.items():
            owner = self.nodes.get(uid)
            if owner is None:
                # Perhaps not seen yet, perhaps long gone: a look will tell.
                kind = (reference["apiVersion"], reference["kind"])
                owner = Node(uid, kind, node.namespace, reference["name"], virtual=True)
                self.nodes[uid] = owner
                work.append(_DELETE + uid)
            owner.dependents[node.uid] = None
            if uid not in before:
                if not self._agrees(node, owner) or owner.deleting_dependents:
                    work.append(_DELETE + node.uid)
            elif _blocks(before[uid]) and not _blocks(reference):
                work += self._unblocked(owner)
        return work

    @staticmethod
    def _unblocked(owner: Node) -> list[str]:
        return [_DELETE + owner.uid] if owner.deleting_dependents else []

    def remove(self, uid: str) -> list[str]:
        """An object is gone: its dependents are looked at, and owners that waited for it."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return []
        work = [_DELETE + dependent for dependent in node.dependents]
        if node.dependents:
            self.note_absent(node.kind, node.namespace, node.name, uid)
            # Dependents still name it: keep them linked, so that the node is there again if a reference was wrong.
        for reference in node.owners:
            owner = self.nodes.get(reference["uid"])
            if owner is not None:
                owner.dependents.pop(uid, None)
                work += self._unblocked(owner)
                if owner.virtual and not owner.dependents:
                    del self.nodes[owner.uid]
        return work

    def blocking(self, node: Node) -> list[Node]:
        """Dependents that the object's deletion waits for."""
        found = []
        for uid in node.dependents:
            dependent = self.nodes.get(uid)
            if dependent is not None and any(
                reference["uid"] == node.uid and _blocks(reference) for reference in dependent.owners
            ):
                found.append(dependent)
        return found

    def note_absent(self, kind: tuple[str, str], namespace: str, name: str, uid: str) -> None:
        """Remember that there is no such object."""
        self._absent[(*kind, namespace, name, uid)] = None
        if len(self._absent) > _ABSENT:
            self._absent.popitem(last=False)

    def known_absent(self, reference: Obj, namespace: str) -> bool:
        head = (reference["apiVersion"], reference["kind"])
        tail = (reference["name"], reference["uid"])
        return (*head, namespace, *tail) in self._absent or (*head, "", *tail) in self._absent


def _blocks(reference: Obj) -> bool:
    return bool(reference.get("blockOwnerDeletion"))


@dataclass(frozen=True, slots=True)
class Owners:
    """An object's owner references, sorted by what became of the owners."""

    solid: list[Obj]
    dangling: list[Obj]
    waiting: list[Obj]


@dataclass(slots=True)
class _Watched:
    informer: Informer
    handler: Handler
    own: bool


class GarbageCollector(Controller):
    name = "garbage-collector-controller"
    aliases = ("garbagecollector",)
    source = "garbage-collector-controller"
    account = "generic-garbage-collector"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("*",), ("*",), ("delete", "get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_gc_syncs
        self.graph = Graph()
        self._watched: dict[Resource, _Watched] = {}
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._served_changed = asyncio.Event()
        self._ready = asyncio.Event()
        for resource in (CUSTOM_RESOURCE_DEFINITIONS, API_SERVICES):
            self.watch(
                resource,
                added=lambda obj: self._served_changed.set(),
                updated=lambda old, new: self._served_changed.set(),
                deleted=lambda obj: self._served_changed.set(),
            )

    # -- what is watched

    async def background(self) -> None:
        """Follow what is served: watch new resources, forget those that are gone."""
        while True:
            self._served_changed.clear()
            try:
                await self._follow()
            except (ApiError, Unreachable, TimeoutError) as error:
                log.warning("garbage collector: discovery failed: %s", error)
                await self.clock.sleep(1.0)
                continue
            await self._until_changed()

    async def _until_changed(self) -> None:
        try:
            async with timeout(self.clock, RESYNC):
                await self._served_changed.wait()
        except TimeoutError:
            return
        # A CustomResourceDefinition is served a moment after it is established.
        await self.clock.sleep(0.5)

    async def _follow(self) -> None:
        served = await discover(self.client)
        wanted = {
            entry.resource
            for entry in served.with_verbs("delete", "list", "watch")
            if entry.resource.group_resource not in IGNORED
        }
        self._kinds = {(entry.resource.api_version, entry.resource.kind): entry.resource for entry in served.served}
        failing = {name.partition("/")[0] for name in served.failures}
        for resource in list(self._watched):
            if resource not in wanted and resource.group not in failing:
                self._forget(resource)
        fresh = [self._follow_one(resource) for resource in wanted if resource not in self._watched]
        if fresh:
            try:
                async with timeout(self.clock, SYNC_TIMEOUT):
                    await gather_all(informer.wait_synced() for informer in fresh)
            except TimeoutError:
                late = [informer.resource.group_resource for informer in fresh if not informer.synced]
                log.warning("garbage collector: not synced yet: %s", ", ".join(late))
        self._ready.set()

    def _follow_one(self, resource: Resource) -> Informer:
        full = self.context.informers.known(resource)
        informer = full or self.context.informers.get(resource, metadata_only=True)

        def seen(obj: Obj) -> None:
            self._do(self.graph.observe(resource, obj))

        handler = informer.add_handler(added=seen, updated=lambda old, new: seen(new), deleted=self._gone)
        self._watched[resource] = _Watched(informer, handler, full is None)
        return informer

    def _gone(self, obj: Obj) -> None:
        self._do(self.graph.remove(meta.uid(obj)))

    def _forget(self, resource: Resource) -> None:
        watched = self._watched.pop(resource)
        watched.informer.remove_handler(watched.handler)
        for obj in watched.informer.list():
            self._gone(obj)
        if watched.own:
            self.context.informers.stop(watched.informer)

    def _do(self, work: Iterable[str]) -> None:
        for key in work:
            self.enqueue(key)

    # -- the loop

    async def reconcile(self, key: str) -> Result | None:
        await self._ready.wait()
        what, _, uid = key.partition(":")
        node = self.graph.nodes.get(uid)
        if node is None:
            return None
        if what + ":" == _ORPHAN:
            await self._orphan(node)
        else:
            await self._attempt(node)
        return None

    def _resource_of(self, kind: tuple[str, str]) -> Resource | None:
        return self._kinds.get(kind)

    async def _latest(self, node: Node) -> Obj | None:
        """The object's metadata as the server has it now; None if it is gone or replaced."""
        resource = node.resource or self._resource_of(node.kind)
        if resource is None:
            raise Retry(f"no resource is served for {node.kind[0]} {node.kind[1]}")
        namespace = node.namespace if resource.namespaced else None
        latest = await ignoring_absence(self.client.get(resource, node.name, namespace, metadata_only=True))
        return latest if latest is not None and meta.uid(latest) == node.uid else None

    async def _attempt(self, node: Node) -> None:
        """Delete the object if nothing it belongs to is left."""
        if node.deleting and not node.deleting_dependents:
            return
        latest = await self._latest(node)
        if latest is None:
            if node.virtual:
                self.graph.note_absent(node.kind, node.namespace, node.name, node.uid)
            self._do(self.graph.remove(node.uid))
            return
        if node.deleting_dependents:
            await self._delete_dependents_first(node)
            return
        references = meta.owners(latest)
        if not references:
            return
        owners = await self._classify(node, references)
        if owners.solid:
            if owners.dangling or owners.waiting:
                # Owners that wait for this one would otherwise wait for ever.
                await self._drop_owners(node, latest, [*owners.dangling, *owners.waiting])
        elif owners.waiting and node.dependents:
            await self._break_cycle(node, latest)
            await self._delete(node, latest, "Foreground")
        else:
            await self._delete(node, latest, _policy(latest))

    async def _classify(self, node: Node, references: Iterable[Obj]) -> Owners:
        result = Owners([], [], [])
        for reference in references:
            owner = await self._owner(node, reference)
            if owner is None:
                result.dangling.append(reference)
            elif meta.deleting(owner) and meta.has_finalizer(owner, FOREGROUND):
                result.waiting.append(reference)
            else:
                result.solid.append(reference)
        return result

    async def _owner(self, node: Node, reference: Obj) -> Obj | None:
        """The owner that a reference names, by the server's latest word; None when there is none."""
        if self.graph.known_absent(reference, node.namespace):
            return None
        resource = self._resource_of((reference["apiVersion"], reference["kind"]))
        if resource is None:
            raise Retry(f"no resource is served for {reference['apiVersion']} {reference['kind']}")
        if resource.namespaced and not node.namespace:
            # Not a valid reference, and nothing to look the owner up by: keep the object.
            return {"metadata": {}}
        namespace = node.namespace if resource.namespaced else ""
        owner = await ignoring_absence(
            self.client.get(resource, reference["name"], namespace or None, metadata_only=True)
        )
        if owner is None or meta.uid(owner) != reference["uid"]:
            kind = (reference["apiVersion"], reference["kind"])
            self.graph.note_absent(kind, namespace, reference["name"], reference["uid"])
            return None
        return owner

    async def _delete_dependents_first(self, node: Node) -> None:
        blocking = self.graph.blocking(node)
        if not blocking:
            await self._remove_finalizer(node, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.deleting_dependents:
                self.enqueue(_DELETE + dependent.uid)

    async def _break_cycle(self, node: Node, latest: Obj) -> None:
        """If a dependent waits for its own dependents already, do not let this one block its owners."""
        dependents = [self.graph.nodes.get(uid) for uid in node.dependents]
        if not any(dependent is not None and dependent.deleting_dependents for dependent in dependents):
            return
        references = [{**reference, "blockOwnerDeletion": False} for reference in meta.owners(latest)]
        updated = await self._patch(node, latest, {"ownerReferences": references})
        latest["metadata"] = updated["metadata"]

    async def _drop_owners(self, node: Node, latest: Obj, references: list[Obj]) -> None:
        gone = {reference["uid"] for reference in references}
        left = [reference for reference in meta.owners(latest) if reference["uid"] not in gone]
        await self._patch(node, latest, {"ownerReferences": left})

    async def _patch(self, node: Node, latest: Obj, metadata: Obj) -> Obj:
        """Change metadata, provided that nobody else has since `latest`."""
        resource = node.resource or self._resource_of(node.kind)
        assert resource is not None
        patch = {"metadata": {**metadata, "resourceVersion": latest["metadata"]["resourceVersion"]}}
        namespace = node.namespace if resource.namespaced else None
        return await self.client.patch(resource, node.name, patch, namespace)

    async def _delete(self, node: Node, latest: Obj, policy: str) -> None:
        resource = node.resource or self._resource_of(node.kind)
        assert resource is not None
        log.debug("deleting %s %s/%s (%s)", resource.group_resource, node.namespace, node.name, policy)
        gone = await ignoring_absence(
            self.client.delete(
                resource,
                node.name,
                node.namespace if resource.namespaced else None,
                propagation_policy=policy,
                uid=node.uid,
                resource_version=latest["metadata"]["resourceVersion"],
            )
        )
        if gone is None:
            self._do(self.graph.remove(node.uid))

    async def _remove_finalizer(self, node: Node, finalizer: str) -> None:
        for _ in range(5):
            latest = await self._latest(node)
            if latest is None or not meta.has_finalizer(latest, finalizer):
                return
            try:
                await ignoring_absence(
                    self._patch(node, latest, {"finalizers": meta.without_finalizer(latest, finalizer)})
                )
                return
            except ApiError as error:
                if error.reason != "Conflict":
                    raise
        raise Retry(f"updating the finalizers of {node.name} conflicts")

    async def _orphan(self, node: Node) -> None:
        """Let the dependents go, then the object."""
        await gather_all(self._let_go(uid, node.uid) for uid in list(node.dependents))
        await self._remove_finalizer(node, ORPHAN)

    async def _let_go(self, uid: str, owner: str) -> None:
        dependent = self.graph.nodes.get(uid)
        latest = await self._latest(dependent) if dependent is not None else None
        if dependent is None or latest is None:
            return
        left = [reference for reference in meta.owners(latest) if reference["uid"] != owner]
        if len(left) != len(meta.owners(latest)):
            await ignoring_absence(self._patch(dependent, latest, {"ownerReferences": left}))


def _policy(latest: Obj) -> str:
    """How to delete an object: as its finalizers already say, else in the background."""
    if meta.has_finalizer(latest, ORPHAN):
        return "Orphan"
    return "Foreground" if meta.has_finalizer(latest, FOREGROUND) else "Background"
