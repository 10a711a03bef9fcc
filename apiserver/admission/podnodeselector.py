"""PodNodeSelector: pods run only on nodes that their namespace's annotation, or else the configuration, selects.

Configured are a selector for namespaces without the annotation, and for a namespace the labels that its pods may ask nodes for.
"""

from __future__ import annotations

from typing import Any

from apimachinery import errors, field, selectors
from apimachinery.errors import ApiError
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.configscheme import ConfigError, parse
from apiserver.registry.lookup import Lookup
from apiserver.registry.metadata import plain_failure

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
_DEFAULT = "clusterDefaultNodeSelector"
_NOWHERE = "<nil>"  # how the original prints the path of a label that has none


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")
        self._configured = _load(env.configuration)

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and not group and plural == "pods" and not subresource

    async def _wanted(self, a: Attributes) -> dict[str, str]:
        """Labels that the namespace demands of nodes."""
        namespace = await self._namespaces.get(None, a.namespace or "")
        if namespace is None:
            raise errors.internal_error(f"namespace {a.namespace} does not exist")
        text = (namespace["metadata"].get("annotations") or {}).get(ANNOTATION)
        return _labels(self._configured.get(_DEFAULT, "") if text is None else text)

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        wanted = await self._wanted(a)
        spec = a.obj.setdefault("spec", {})
        self._check(a, wanted)
        merged = {**wanted, **(spec.get("nodeSelector") or {})}
        if merged:
            spec["nodeSelector"] = merged
        await self.validate(a)

    async def validate(self, a: Attributes) -> None:
        if a.obj is None:
            return
        self._check(a, await self._wanted(a))
        allowed = _labels(self._configured.get(a.namespace or "", ""))
        own = (a.obj.get("spec") or {}).get("nodeSelector") or {}
        if allowed and any(allowed.get(key) != value for key, value in own.items()):
            raise _forbidden(a, "pod node label selector labels conflict with its namespace whitelist")

    @staticmethod
    def _check(a: Attributes, wanted: dict[str, str]) -> None:
        own = ((a.obj or {}).get("spec") or {}).get("nodeSelector") or {}
        if any(own.get(key, value) != value for key, value in wanted.items()):
            raise _forbidden(a, "pod node label selector conflicts with its namespace node label selector")


def _forbidden(a: Attributes, text: str) -> ApiError:
    return errors.forbidden("", "pods", ((a.obj or {}).get("metadata") or {}).get("name") or "", text)


def _labels(text: str) -> dict[str, str]:
    """The labels of a selector that has nothing but key=value. ApiError without a reason, as in the original."""
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        parts = pair.split("=")
        if len(parts) != 2:
            raise plain_failure(f"invalid selector: [{' '.join(parts)}]")
        key, value = parts[0].strip(), parts[1].strip()
        if wrong := selectors.label_key_errors(key):
            raise plain_failure(str(field.invalid(_NOWHERE, key, "; ".join(wrong))))
        if wrong := selectors.label_value_errors(value):
            raise plain_failure(str(field.invalid(_NOWHERE, value, "; ".join(wrong))))
        found[key] = value
    return found


def _load(raw: bytes | None) -> dict[str, str]:
    """What cannot be read counts as nothing, as in the original."""
    if raw is None:
        return {}
    try:
        document: Any = parse(raw).obj
    except ConfigError:
        return {}
    stated = document.get("podNodeSelectorPluginConfig") if isinstance(document, dict) else None
    return {k: v for k, v in stated.items() if isinstance(v, str)} if isinstance(stated, dict) else {}
