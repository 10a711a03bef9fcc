"""PodTolerationRestriction: a namespace's annotations add tolerations to its pods, and limit those that pods may have."""

from __future__ import annotations

import orjson

from apimachinery import pods
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.runtimeclass import covers, merge_tolerations
from apiserver.authz.nodegraph import MIRROR
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_MEMORY_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and not group and plural == "pods" and not subresource

    async def _annotated(self, a: Attributes, name: str) -> list[Obj]:
        namespace = await self._namespaces.get(None, a.namespace or "")
        text = ((namespace or {"metadata": {}})["metadata"].get("annotations") or {}).get(name)
        if not text:
            return []
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise forbidden(a, f"the annotation {name} of the namespace is no list of tolerations: {error}") from error
        return [t for t in found if isinstance(t, dict)] if isinstance(found, list) else []

    async def admit(self, a: Attributes) -> None:
        if a.obj is None or MIRROR in (a.obj["metadata"].get("annotations") or {}):
            return
        spec = a.obj.setdefault("spec", {})
        tolerations = list(spec.get("tolerations") or ())
        if a.operation == "CREATE":
            defaults = await self._annotated(a, DEFAULTS)
            for toleration in defaults:
                for own in tolerations:
                    same = (own.get("key"), own.get("effect")) == (toleration.get("key"), toleration.get("effect"))
                    if same and not covers(toleration, own) and not covers(own, toleration):
                        raise forbidden(a, "namespace tolerations and pod tolerations conflict")
            tolerations = merge_tolerations(defaults, tolerations)
        if pods.qos_class(a.obj) != pods.BEST_EFFORT:
            tolerations = merge_tolerations(tolerations, [dict(_MEMORY_PRESSURE)])
        if tolerations:
            spec["tolerations"] = tolerations
        await self.validate(a)

    async def validate(self, a: Attributes) -> None:
        if a.obj is None or MIRROR in (a.obj["metadata"].get("annotations") or {}):
            return
        allowed = await self._annotated(a, ALLOWED)
        if not allowed:
            return
        if pods.qos_class(a.obj) != pods.BEST_EFFORT:
            allowed.append(_MEMORY_PRESSURE)
        for toleration in (a.obj.get("spec") or {}).get("tolerations") or ():
            if not any(covers(limit, toleration) for limit in allowed):
                raise forbidden(
                    a,
                    "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace "
                    "whitelist",
                )
