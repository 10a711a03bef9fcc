"""NodeDeclaredFeatureValidator: a pod's update must not need what its node does not declare to be able to do.

Two of the features that nodes declare in 1.36 matter for updates (component-helpers/nodedeclaredfeatures/features).
"""

from __future__ import annotations

from apimachinery import pods
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

POD_LEVEL = "InPlacePodLevelResourcesVerticalScaling"
INIT_CONTAINERS = "InPlacePodVerticalScalingInitContainers"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._nodes = Lookup(env.reader, "", "nodes")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "UPDATE" and not group and plural == "pods" and subresource in ("", "resize")

    async def validate(self, a: Attributes) -> None:
        if a.obj is None or a.old is None:
            return
        old, new = a.old["spec"], a.obj["spec"]
        name = new.get("nodeName")
        needed = _needed(old, new) if name and old != new else []
        if not needed:
            return
        node = await self._nodes.get(None, name)
        if node is None:
            raise forbidden(a, f'node "{name}" not found')
        declared = (node.get("status") or {}).get("declaredFeatures") or ()
        missing = [feature for feature in needed if feature not in declared]
        if missing:
            text = f'pod update requires features {", ".join(missing)} which are not available on node "{name}"'
            raise forbidden(a, text)


def _needed(old: Obj, new: Obj) -> list[str]:
    """Features the change needs, by name in order. Init containers cannot be added or moved, so places correspond."""
    needed = []
    if old.get("resources") != new.get("resources"):
        needed.append(POD_LEVEL)
    pairs = zip(old.get("initContainers") or (), new.get("initContainers") or (), strict=False)
    if any(not pods.is_sidecar(was) and was.get("resources") != now.get("resources") for was, now in pairs):
        needed.append(INIT_CONTAINERS)
    return needed
