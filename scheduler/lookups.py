"""What plugins look up beside nodes and pods, answered from informers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import meta
from apimachinery.gvk import Resource
from client import resources
from client.informer import Informer, Informers

Obj = dict[str, Any]

WATCHED: dict[str, Resource] = {
    "namespaces": resources.NAMESPACES,
    "services": resources.SERVICES,
    "replicasets": resources.REPLICA_SETS,
    "statefulsets": resources.STATEFUL_SETS,
    "replicationcontrollers": resources.REPLICATION_CONTROLLERS,
    "persistentvolumeclaims": resources.PERSISTENT_VOLUME_CLAIMS,
    "persistentvolumes": resources.PERSISTENT_VOLUMES,
    "storageclasses": resources.STORAGE_CLASSES,
    "poddisruptionbudgets": resources.POD_DISRUPTION_BUDGETS,
}
# Which of these may make a refused pod schedulable, and as what event.
WAKING = {
    "namespaces": "namespace",
    "persistentvolumeclaims": "volume",
    "persistentvolumes": "volume",
    "storageclasses": "volume",
}


class InformerListers:
    """framework.Listers over shared informers."""

    def __init__(self, informers: Informers) -> None:
        self.informers: dict[str, Informer] = {name: informers.get(resource) for name, resource in WATCHED.items()}

    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        return {meta.name(namespace): meta.labels(namespace) for namespace in self.informers["namespaces"].list()}

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        return self.informers[kind].find(namespace or None, name)

    def list(self, kind: str, namespace: str) -> Sequence[Obj]:
        return self.informers[kind].list(namespace or None)
