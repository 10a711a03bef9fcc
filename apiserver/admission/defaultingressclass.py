"""DefaultIngressClass: an ingress that names no class gets the default one."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation
from apiserver.admission.defaultstorageclass import newest_default
from apiserver.registry.lookup import Lookup

GROUP = "networking.k8s.io"
ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
OLD_CLASS = "kubernetes.io/ingress.class"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._classes = Lookup(env.reader, GROUP, "ingressclasses")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and (group, plural, subresource) == (GROUP, "ingresses", "")

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        spec = a.obj.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or OLD_CLASS in (a.obj["metadata"].get("annotations") or {}):
            return
        default = newest_default(await self._classes.list(), (ANNOTATION,))
        if default is not None:
            spec["ingressClassName"] = default["metadata"]["name"]
