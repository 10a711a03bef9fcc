"""Keeps PersistentVolumeClaims, PersistentVolumes and VolumeAttributesClasses from going while they are in use, by a finalizer
each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods
from client.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES
from controllers.base import EVENTS_RULE, Controller, Result, Rule, copy, ignoring_absence

Obj = dict[str, Any]

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
CLASS_FINALIZER = "kubernetes.io/vac-protection"


def claims_of(pod: Obj) -> list[str]:
    """Names of the claims that a pod uses."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral") and not pods.is_terminal(pod):
            found.append(f"{meta.name(pod)}-{volume['name']}")
    return found


def uses(pod: Obj, claim: str) -> bool:
    """Whether the pod keeps the claim: one that has no node yet does not, for the claim that is going stops its start."""
    return bool(pod["spec"].get("nodeName")) and claim in claims_of(pod)


def _claim_index(pod: Obj) -> list[str]:
    return [meta.join_key(meta.namespace(pod), name) for name in claims_of(pod)]


class ClaimProtectionController(Controller):
    name = "persistentvolumeclaim-protection-controller"
    aliases = ("pvc-protection",)
    source = "pvc-protection-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("persistentvolumeclaims",), ("get", "list", "update", "watch")),
        Rule(("",), ("pods",), ("get", "list", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._claims = self.watch(
            PERSISTENT_VOLUME_CLAIMS, added=self._claim_changed, updated=lambda old, new: self._claim_changed(new)
        )
        self._pods = self.watch(PODS, indexers={"claim": _claim_index})
        self._pods.add_handler(updated=lambda old, new: self._pod_changed(new), deleted=self._pod_changed)

    def _claim_changed(self, claim: Obj) -> None:
        if meta.deleting(claim) == meta.has_finalizer(claim, CLAIM_FINALIZER):
            self.enqueue_object(claim)

    def _pod_changed(self, pod: Obj) -> None:
        for key in _claim_index(pod):
            claim = self._claims.get(key)
            if claim is not None and meta.deleting(claim):
                self.enqueue(key)

    async def reconcile(self, key: str) -> Result | None:
        claim = self._claims.get(key)
        if claim is None:
            return None
        held = meta.has_finalizer(claim, CLAIM_FINALIZER)
        if meta.deleting(claim) and held:
            if any(uses(pod, meta.name(claim)) for pod in self._pods.by_index("claim", key)):
                return None
            # The cache may be behind; letting go is for good.
            namespace, name = meta.split_key(key)
            if any(uses(pod, name) for pod in await self.client.list_all(PODS, namespace)):
                return None
            await self._write(claim, meta.without_finalizer(claim, CLAIM_FINALIZER))
        elif not meta.deleting(claim) and not held:
            await self._write(claim, [*meta.finalizers(claim), CLAIM_FINALIZER])
        return None

    async def _write(self, claim: Obj, finalizers: list[str]) -> None:
        changed = copy(claim)
        changed["metadata"]["finalizers"] = finalizers
        await ignoring_absence(self.client.update(PERSISTENT_VOLUME_CLAIMS, changed))


class VolumeProtectionController(Controller):
    name = "persistentvolume-protection-controller"
    aliases = ("pv-protection",)
    source = "pv-protection-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("persistentvolumes",), ("get", "list", "update", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._volumes = self.watch_own(PERSISTENT_VOLUMES)

    async def reconcile(self, key: str) -> Result | None:
        volume = self._volumes.get(key)
        if volume is None:
            return None
        held = meta.has_finalizer(volume, VOLUME_FINALIZER)
        bound = (volume.get("status") or {}).get("phase") == "Bound"
        if meta.deleting(volume) and held and not bound:
            finalizers = meta.without_finalizer(volume, VOLUME_FINALIZER)
        elif not meta.deleting(volume) and not held:
            finalizers = [*meta.finalizers(volume), VOLUME_FINALIZER]
        else:
            return None
        changed = copy(volume)
        changed["metadata"]["finalizers"] = finalizers
        await ignoring_absence(self.client.update(PERSISTENT_VOLUMES, changed))
        return None


def classes_of(obj: Obj) -> list[str]:
    """Names of the VolumeAttributesClasses that a claim asks for, has or is being changed to, or that a volume has."""
    status = obj.get("status") or {}
    named = [
        (obj.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    ]
    return sorted({name for name in named if name})


class AttributesClassProtectionController(Controller):
    name = "volumeattributesclass-protection-controller"
    source = "volumeattributesclass-protection-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("persistentvolumeclaims", "persistentvolumes"), ("get", "list", "watch")),
        Rule(("storage.k8s.io",), ("volumeattributesclasses",), ("get", "list", "update", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._classes = self.watch_own(VOLUME_ATTRIBUTES_CLASSES)
        self._users = [
            self.watch(
                resource, updated=self._user_changed, deleted=self._user_gone, indexers={"attributes": classes_of}
            )
            for resource in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES)
        ]

    def _user_changed(self, old: Obj, new: Obj) -> None:
        for name in set(classes_of(old)) - set(classes_of(new)):
            self.enqueue(name)

    def _user_gone(self, obj: Obj) -> None:
        for name in classes_of(obj):
            self.enqueue(name)

    async def reconcile(self, key: str) -> Result | None:
        found = self._classes.get(key)
        if found is None:
            return None
        held = meta.has_finalizer(found, CLASS_FINALIZER)
        if meta.deleting(found) and held and not any(users.by_index("attributes", key) for users in self._users):
            finalizers = meta.without_finalizer(found, CLASS_FINALIZER)
        elif not meta.deleting(found) and not held:
            finalizers = [*meta.finalizers(found), CLASS_FINALIZER]
        else:
            return None
        changed = copy(found)
        changed["metadata"]["finalizers"] = finalizers
        await ignoring_absence(self.client.update(VOLUME_ATTRIBUTES_CLASSES, changed))
        return None
