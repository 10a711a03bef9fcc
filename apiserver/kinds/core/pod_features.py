"""Fields of pods and templates whose features 1.36 has switched off by default: dropped before validation.

    drop(spec)            a PodSpec: what a pod, or a kind with a template, has to forget when it prepares a write
    drop_status(status)   a PodStatus
    template_spec(holder) the spec of `holder`'s template, {} when there is none

The kinds call these from prepare_create and prepare_update: after managedFields were computed, as the original does, so a
client owns such a field without having it. No stored object has one, so there is none to carry over.
"""

from __future__ import annotations

from apiserver.registry.kind import Obj
from apiserver.validation.pod.options import CONTAINER_GROUPS

_PROJECTIONS = ("clusterTrustBundle", "podCertificate")
_STATUS_GROUPS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def template_spec(holder: Obj | None) -> Obj:
    """The pod spec inside of holder["template"]."""
    spec: Obj = ((holder or {}).get("template") or {}).get("spec") or {}
    return spec


def drop(spec: Obj) -> None:
    """Scheduling groups, stop signals, trust bundles and pod certificates in volumes."""
    spec.pop("schedulingGroup", None)
    for group in CONTAINER_GROUPS:
        for container in spec.get(group) or ():
            lifecycle = container.get("lifecycle")
            if lifecycle and lifecycle.pop("stopSignal", None) is not None and not lifecycle:
                del container["lifecycle"]
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            for name in _PROJECTIONS:
                source.pop(name, None)


def drop_status(status: Obj) -> None:
    """Claims of node resources, and what is told of mounted images."""
    status.pop("nodeAllocatableResourceClaimStatuses", None)
    for group in _STATUS_GROUPS:
        for container in status.get(group) or ():
            for mount in container.get("volumeMounts") or ():
                mount.pop("volumeStatus", None)
