"""RuntimeClass: a pod takes the overhead and the scheduling constraints of its runtime class."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, quantity
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup
from apiserver.registry.metadata import plain_failure
from apiserver.validation import names

_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._classes = Lookup(env.reader, "node.k8s.io", "runtimeclasses")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and not group and plural == "pods" and not subresource

    async def _class(self, a: Attributes) -> Obj | None:
        name = ((a.obj or {}).get("spec") or {}).get("runtimeClassName")
        if name is None:
            return None
        if not name:
            raise plain_failure("resource name may not be empty")
        if wrong := names.path_segment(name):
            raise plain_failure(f"invalid resource name {go_quote(name)}: [{' '.join(wrong)}]")
        found = await self._classes.get(None, name)
        if found is None:
            raise forbidden(a, f"pod rejected: RuntimeClass {go_quote(name)} not found")
        return found

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            raise errors.bad_request("Resource was marked with kind Pod but was unable to be converted")
        found = await self._class(a)
        if found is None:
            return
        spec = a.obj["spec"]
        if found.get("overhead") is not None:
            fixed = found["overhead"].get("podFixed") or {}
            if spec.get("overhead") is not None and not _equal(spec["overhead"], fixed):
                raise forbidden(a, _MISMATCH)
            spec["overhead"] = dict(fixed)
        if found.get("scheduling") is not None:
            _schedule(a, spec, found["scheduling"])

    async def validate(self, a: Attributes) -> None:
        found = await self._class(a)
        stated = ((a.obj or {}).get("spec") or {}).get("overhead")
        if found is not None and found.get("overhead") is not None:
            if not _equal(stated or {}, found["overhead"].get("podFixed") or {}):
                raise forbidden(a, _MISMATCH)
        elif stated is not None:
            raise forbidden(a, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")


def _equal(one: Obj, other: Obj) -> bool:
    return quantity.parse_list(one) == quantity.parse_list(other)


def _schedule(a: Attributes, spec: Obj, scheduling: Obj) -> None:
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise forbidden(
                a,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}",
            )
        selector[key] = value
    if selector:
        spec["nodeSelector"] = selector
    tolerations = merge_tolerations(spec.get("tolerations") or [], scheduling.get("tolerations") or [])
    if tolerations:
        spec["tolerations"] = tolerations


def merge_tolerations(first: list[Obj], second: list[Obj]) -> list[Obj]:
    """Both lists without those that another one makes superfluous, in order."""
    every = [*first, *second]
    kept: list[Obj] = []
    for position, toleration in enumerate(every):
        if any(covers(other, toleration) for other in kept):
            continue
        if any(covers(other, toleration) and other != toleration for other in every[position + 1 :]):
            continue
        kept.append(toleration)
    return kept


def covers(wide: Obj, narrow: Obj) -> bool:
    """Whether whatever the narrow toleration tolerates the wide one tolerates at least as long."""

    def of(toleration: Obj, name: str) -> Any:
        return toleration.get(name) or ""

    if wide == narrow:
        return True
    if of(wide, "key") not in ("", of(narrow, "key")) or of(wide, "effect") not in ("", of(narrow, "effect")):
        return False
    if of(wide, "effect") == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or wide["tolerationSeconds"] < seconds:
            return False
    operator = of(wide, "operator")
    if operator in ("", "Equal"):
        return (
            of(narrow, "operator") in ("", "Equal")
            and of(wide, "value") == of(narrow, "value")
            and bool(of(wide, "key"))
        )
    return bool(operator == "Exists")
