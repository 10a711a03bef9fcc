"""PodNodeSelector: pods run only on nodes that their namespace's annotation selects."""

from __future__ import annotations

from apimachinery import selectors
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.authz.nodegraph import MIRROR
from apiserver.registry.lookup import Lookup

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and not group and plural == "pods" and not subresource

    async def _wanted(self, a: Attributes) -> dict[str, str]:
        """Labels that the namespace demands of nodes. Only `key=value` pairs, as in the original."""
        namespace = await self._namespaces.get(None, a.namespace or "")
        text = ((namespace or {"metadata": {}})["metadata"].get("annotations") or {}).get(ANNOTATION) or ""
        wanted = {}
        for pair in filter(None, (part.strip() for part in text.split(","))):
            key, equals, value = pair.partition("=")
            if not equals or selectors.label_key_errors(key) or selectors.label_value_errors(value):
                raise forbidden(a, f"invalid selector: {go_quote(text)}")
            wanted[key.strip()] = value.strip()
        return wanted

    async def admit(self, a: Attributes) -> None:
        if a.obj is None or MIRROR in (a.obj["metadata"].get("annotations") or {}):
            return
        wanted = await self._wanted(a)
        if not wanted:
            return
        spec = a.obj.setdefault("spec", {})
        self._check(a, wanted)
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **wanted}

    async def validate(self, a: Attributes) -> None:
        if a.obj is not None and MIRROR not in (a.obj["metadata"].get("annotations") or {}):
            self._check(a, await self._wanted(a))

    @staticmethod
    def _check(a: Attributes, wanted: dict[str, str]) -> None:
        own = ((a.obj or {}).get("spec") or {}).get("nodeSelector") or {}
        if any(own.get(key, value) != value for key, value in wanted.items()):
            raise forbidden(a, "pod node label selector conflicts with its namespace node label selector")
