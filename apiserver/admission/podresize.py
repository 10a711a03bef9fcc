"""PodResizeValidator: a pod on a node is not resized beyond what the node could ever give, nor where it cannot work."""

from __future__ import annotations

from apimachinery import pods, quantity
from apimachinery.quantity import ResourceList
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

OS = "kubernetes.io/os"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._nodes = Lookup(env.reader, "", "nodes")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "UPDATE" and not group and (plural, subresource) == ("pods", "resize")

    async def validate(self, a: Attributes) -> None:
        if a.obj is None or a.old is None or a.obj["spec"] == a.old["spec"]:
            return
        name = a.obj["spec"].get("nodeName")
        if not name:
            return
        node = await self._nodes.get(None, name)
        if node is None:
            raise forbidden(a, f'node "{name}" not found')
        lacking = _lacking(pods.requests(a.obj), node)
        if lacking:
            raise forbidden(a, "Node didn't have enough allocatable resources: " + "; ".join(lacking))
        system = (node["metadata"].get("labels") or {}).get(OS, "")
        if system != "linux":
            raise forbidden(a, f'pod resize is only supported on linux nodes, node "{name}" is "{system}"')


def _lacking(requests: ResourceList, node: Obj) -> list[str]:
    """What the node has less of than is asked: CPU in thousandths, memory in bytes."""
    allocatable = quantity.parse_list((node.get("status") or {}).get("allocatable"))
    none = quantity.parse("0")
    cpu = requests.get("cpu", none).milli_value(), allocatable.get("cpu", none).milli_value()
    memory = requests.get("memory", none).value(), allocatable.get("memory", none).value()
    return [
        f"{what}, requested: {asked}, allocatable: {there}"
        for what, (asked, there) in (("cpu", cpu), ("memory", memory))
        if asked > there
    ]
