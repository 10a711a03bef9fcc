"""VolumeBinding, the part that needs no binding: a pod's claims must exist and be bound, and their volumes be reachable from
the node. Claims that wait for their first consumer are refused until dynamic volumes are there.
"""

from __future__ import annotations

from typing import Any

from scheduler.framework import Cycle, PreFilter, Refusal
from scheduler.nodes import Mask
from scheduler.plugins import nodeaffinity

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
WAITING = "node(s) didn't find available persistent volumes to bind"

Obj = dict[str, Any]


def claim_names(pod: Obj) -> list[str]:
    """The claims that a pod's volumes name, ephemeral ones included."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


class VolumeBinding:
    name = "VolumeBinding"
    events = frozenset({"node-added", "node-labels", "volume", "pod-changed"})

    def pre_filter(self, cycle: Cycle) -> PreFilter | None:
        names = claim_names(cycle.pod.obj)
        volumes: list[Obj] = []
        for name in names:
            claim = cycle.listers.get("persistentvolumeclaims", cycle.pod.namespace, name)
            if claim is None:
                return PreFilter(f'persistentvolumeclaim "{name}" not found')
            if claim["metadata"].get("deletionTimestamp"):
                return PreFilter(f'persistentvolumeclaim "{name}" is being deleted')
            if (claim.get("status") or {}).get("phase") == "Lost":
                volume_name = claim["spec"].get("volumeName", "")
                return PreFilter(
                    f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume_name}"'
                )
            volume_name = (claim.get("spec") or {}).get("volumeName")
            if not volume_name:
                return PreFilter(WAITING if self._waits(cycle, claim) else UNBOUND)
            volume = cycle.listers.get("persistentvolumes", "", volume_name)
            if volume is None:
                return PreFilter(f'persistentvolume "{volume_name}" not found')
            volumes.append(volume)
        cycle.state[self.name] = volumes
        return None

    @staticmethod
    def _waits(cycle: Cycle, claim: Obj) -> bool:
        name = claim["spec"].get("storageClassName") or ""
        storage_class = cycle.listers.get("storageclasses", "", name) if name else None
        return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def filter(self, cycle: Cycle, rows: Mask) -> list[Refusal]:
        refused = cycle.nodes.none()
        for volume in cycle.state.get(self.name) or ():
            required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")
            if required is not None:
                refused |= ~nodeaffinity.terms_mask(cycle.nodes, required.get("nodeSelectorTerms") or ())
        return [Refusal(rows & refused, CONFLICT, resolvable=False)] if refused.any() else []
