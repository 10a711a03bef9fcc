"""Which objects belong to the pods of which node: what the Node authorizer asks.

    node <- pod <- secret, configmap, service account, claim, resource claim
    node <- pod <- claim <- persistent volume <- secret
    node <- volume attachment, resource slice

Kept up to date as authz/policy.py does: changes mark keys as stale, the next question re-reads them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from apiserver.registry.kind import NotifyingReader, Obj

Key = tuple[str, str, str]  # (plural, namespace or "", name)
_SOURCES = (
    ("", "pods"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "volumeattachments"),
    ("resource.k8s.io", "resourceslices"),
)
MIRROR = "kubernetes.io/config.mirror"


class NodeGraph:
    def __init__(self, reader: NotifyingReader) -> None:
        self._reader = reader
        self._lock = asyncio.Lock()
        self._loaded = False
        self._any_stale = True
        self._stale: dict[tuple[str, str], set[tuple[str, str]]] = {source: set() for source in _SOURCES}
        self._nodes: dict[Key, Counter[str]] = {}  # object -> nodes, with how many ways lead there
        self._edges: dict[Key, tuple[str, tuple[Key, ...]]] = {}  # pod -> its node and what it refers to
        self._volumes: dict[Key, tuple[Key, ...]] = {}  # what a volume leads to: itself, its secrets
        self._claims: dict[Key, Key] = {}  # volume -> claim
        self._through: dict[Key, set[Key]] = {}  # object -> volumes that lead to it
        for source in _SOURCES:
            reader.on_change(*source, self._marker(source))

    def _marker(self, source: tuple[str, str]) -> Callable[[str | None, str], None]:
        stale = self._stale[source]

        def mark(namespace: str | None, name: str) -> None:
            if self._loaded or self._lock.locked():
                stale.add((namespace or "", name))
                self._any_stale = True

        return mark

    @property
    def current(self) -> bool:
        return not self._any_stale and not self._lock.locked()

    async def refresh(self) -> None:
        """Take in what changed."""
        async with self._lock:
            if not self._any_stale:
                return
            self._any_stale = False
            try:
                if not self._loaded:
                    for group, plural in _SOURCES:
                        for obj in await self._reader.list(group, plural):
                            meta = obj["metadata"]
                            self._put(plural, meta.get("namespace") or "", meta["name"], obj)
                    self._loaded = True
                for (group, plural), stale in self._stale.items():
                    while stale:
                        namespace, name = stale.pop()
                        try:
                            obj_or_none = await self._reader.get(group, plural, namespace or None, name)
                        except BaseException:
                            stale.add((namespace, name))
                            raise
                        self._put(plural, namespace, name, obj_or_none)
            except BaseException:
                self._any_stale = True
                raise

    def leads_to(self, node: str, plural: str, namespace: str, name: str) -> bool:
        """Whether the object belongs to something on the node."""
        key = (plural, namespace, name)
        if self._nodes.get(key, _NOWHERE)[node]:
            return True
        return any(self._nodes.get(self._claims[volume], _NOWHERE)[node] for volume in self._through.get(key, ()))

    def _put(self, plural: str, namespace: str, name: str, obj: Obj | None) -> None:
        key = (plural, namespace, name)
        if plural == "persistentvolumes":
            self._put_volume(key, obj)
            return
        node = ""
        targets: tuple[Key, ...] = ()
        if obj is not None:
            spec = obj.get("spec") or {}
            node = spec.get("nodeName") or ""
            if plural == "pods":
                mirror = MIRROR in (obj["metadata"].get("annotations") or {})
                targets = (key,) if mirror else (key, *dict.fromkeys(pod_references(obj)))
            else:
                targets = (key,)
        old_node, old_targets = self._edges.pop(key, ("", ()))
        if (node, targets) != (old_node, old_targets):
            for target in old_targets:
                counts = self._nodes[target]
                counts[old_node] -= 1
                if not counts[old_node]:
                    del counts[old_node]
                if not counts:
                    del self._nodes[target]
            for target in targets if node else ():
                self._nodes.setdefault(target, Counter())[node] += 1
        if node:
            self._edges[key] = (node, targets)

    def _put_volume(self, key: Key, obj: Obj | None) -> None:
        for target in self._volumes.pop(key, ()):
            volumes = self._through[target]
            volumes.discard(key)
            if not volumes:
                del self._through[target]
        self._claims.pop(key, None)
        claim = ((obj or {}).get("spec") or {}).get("claimRef")
        if obj is None or not claim:
            return
        self._claims[key] = ("persistentvolumeclaims", claim.get("namespace") or "", claim.get("name") or "")
        targets = (key, *dict.fromkeys(_volume_secrets(obj["spec"], claim.get("namespace") or "")))
        self._volumes[key] = targets
        for target in targets:
            self._through.setdefault(target, set()).add(key)


_NOWHERE: Counter[str] = Counter()


def pod_references(pod: Obj) -> Iterator[Key]:
    """The objects of its namespace that a pod needs."""
    namespace, spec = pod["metadata"].get("namespace") or "", pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for plural, name in pod_secrets_and_configmaps(spec):
        yield plural, namespace, name
    for volume in spec.get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield "persistentvolumeclaims", namespace, volume["persistentVolumeClaim"].get("claimName") or ""
        elif volume.get("ephemeral") is not None:
            yield "persistentvolumeclaims", namespace, f"{pod['metadata']['name']}-{volume['name']}"
    status = pod.get("status") or {}
    made = {s.get("name"): s.get("resourceClaimName") for s in status.get("resourceClaimStatuses") or ()}
    for claim in spec.get("resourceClaims") or ():
        claim_name = claim.get("resourceClaimName") or made.get(claim.get("name"))
        if claim_name:
            yield "resourceclaims", namespace, claim_name
    extended = (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
    if extended:
        yield "resourceclaims", namespace, extended


_SECRET_REF_VOLUMES = ("cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos")


def pod_secrets_and_configmaps(spec: Obj) -> Iterator[tuple[str, str]]:
    """("secrets" or "configmaps", name) for each that a pod's spec names."""
    for ref in spec.get("imagePullSecrets") or ():
        if ref.get("name"):
            yield "secrets", ref["name"]
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _container_references(container)
    for volume in spec.get("volumes") or ():
        yield from _volume_references(volume)


def _container_references(container: Obj) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        for field, plural in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            if (source.get(field) or {}).get("name"):
                yield plural, source[field]["name"]
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for field, plural in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
            if (source.get(field) or {}).get("name"):
                yield plural, source[field]["name"]


def _volume_references(volume: Obj) -> Iterator[tuple[str, str]]:
    if (volume.get("secret") or {}).get("secretName"):
        yield "secrets", volume["secret"]["secretName"]
    if (volume.get("configMap") or {}).get("name"):
        yield "configmaps", volume["configMap"]["name"]
    for source in (volume.get("projected") or {}).get("sources") or ():
        for field, plural in (("secret", "secrets"), ("configMap", "configmaps")):
            if (source.get(field) or {}).get("name"):
                yield plural, source[field]["name"]
    if (volume.get("azureFile") or {}).get("secretName"):
        yield "secrets", volume["azureFile"]["secretName"]
    if ((volume.get("csi") or {}).get("nodePublishSecretRef") or {}).get("name"):
        yield "secrets", volume["csi"]["nodePublishSecretRef"]["name"]
    for kind in _SECRET_REF_VOLUMES:
        ref = (volume.get(kind) or {}).get("secretRef")
        if ref and ref.get("name"):
            yield "secrets", ref["name"]


def _volume_secrets(spec: dict[str, Any], claim_namespace: str) -> Iterator[Key]:
    """The secrets of a persistent volume that the node needs (not those of its provisioner)."""
    azure = spec.get("azureFile") or {}
    if azure.get("secretName"):
        yield "secrets", azure.get("secretNamespace") or claim_namespace, azure["secretName"]
    refs = [(spec.get(kind) or {}).get("secretRef") for kind in _SECRET_REF_VOLUMES]
    csi = spec.get("csi") or {}
    refs += [csi.get(name) for name in ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef")]
    for ref in refs:
        if ref and ref.get("name"):
            yield "secrets", ref.get("namespace") or claim_namespace, ref["name"]
