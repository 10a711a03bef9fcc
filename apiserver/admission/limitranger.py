"""LimitRanger: gives containers the requests and limits that a namespace has as defaults, and refuses what is out of range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from apimachinery import pods, quantity
from apimachinery.quantity import Quantity
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, Quantity]
_MAX_MILLI = (2**63 - 1) // 1000  # the largest number whose thousandths an int64 holds


class Plugin:
    def __init__(self, env: Env) -> None:
        self._ranges = Lookup(env.reader, "", "limitranges")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        if group or operation not in ("CREATE", "UPDATE"):
            return False
        if plural == "pods":  # of a pod that exists, only a resize can change what is limited
            return (operation == "CREATE" and not subresource) or (operation == "UPDATE" and subresource == "resize")
        return plural == "persistentvolumeclaims" and not subresource

    async def admit(self, a: Attributes) -> None:
        if a.plural != "pods" or a.obj is None or _leaves(a):
            return
        for limit_range in await self._ranges.list(a.namespace):
            _set_defaults(a.obj, limit_range)

    async def validate(self, a: Attributes) -> None:
        if a.obj is None or _leaves(a):
            return
        for limit_range in await self._ranges.list(a.namespace):
            check = _check_pod if a.plural == "pods" else _check_claim
            problems = list(dict.fromkeys(check(a.obj, limit_range)))
            if problems:
                raise forbidden(a, problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")


def _leaves(a: Attributes) -> bool:
    return a.old is not None and bool(a.old["metadata"].get("deletionTimestamp"))


def _limits(limit_range: Obj, kind: str) -> Iterator[Obj]:
    return (limit for limit in (limit_range.get("spec") or {}).get("limits") or () if limit.get("type") == kind)


def _set_defaults(pod: Obj, limit_range: Obj) -> None:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for limit in _limits(limit_range, "Container"):
        requests.update(limit.get("defaultRequest") or {})
        limits.update(limit.get("default") or {})
    if not requests and not limits:
        return
    notes: list[str] = []
    spec = pod.get("spec") or {}
    for field, word in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            name = container.get("name", "")
            for kind, defaults, what in (("requests", requests, "request"), ("limits", limits, "limit")):
                added = _fill(container, kind, defaults)
                if added:
                    notes.append(f"{', '.join(added)} {what} for {word} {name}")
    if notes:
        annotations = pod["metadata"].setdefault("annotations", None) or {}
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)
        pod["metadata"]["annotations"] = annotations


def _fill(container: Obj, kind: str, defaults: Mapping[str, str]) -> list[str]:
    resources = container.get("resources") or {}
    amounts = resources.get(kind) or {}
    added = sorted(name for name in defaults if name not in amounts)
    if added:
        resources[kind] = {**amounts, **{name: defaults[name] for name in added}}
        container["resources"] = resources
    return added


def _check_pod(pod: Obj, limit_range: Obj) -> Iterator[str]:
    spec = pod.get("spec") or {}
    for limit in (limit_range.get("spec") or {}).get("limits") or ():
        if limit.get("type") == "Container":
            for field in ("containers", "initContainers"):
                for container in spec.get(field) or ():
                    resources = container.get("resources") or {}
                    requests = quantity.parse_list(resources.get("requests"))
                    yield from _check(limit, requests, quantity.parse_list(resources.get("limits")))
        elif limit.get("type") == "Pod":
            yield from _check(limit, pods.requests(pod, overhead=False), pods.limits(pod, overhead=False))


def _check(limit: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit["type"]
    for name, bound in sorted(quantity.parse_list(limit.get("min")).items()):
        request, maximum = requests.get(name), limits.get(name)
        text = f"minimum {name} usage per {kind} is {bound}"
        if request is None:
            yield f"{text}.  No request is specified"
        elif request < bound:
            yield f"{text}, but request is {request}"
        elif maximum is not None and maximum < bound:
            yield f"{text}, but limit is {maximum}"
    for name, bound in sorted(quantity.parse_list(limit.get("max")).items()):
        request, maximum = requests.get(name), limits.get(name)
        text = f"maximum {name} usage per {kind} is {bound}"
        if maximum is None:
            yield f"{text}.  No limit is specified"
        elif bound < maximum:
            yield f"{text}, but limit is {maximum}"
        elif request is not None and bound < request:
            yield f"{text}, but request is {request}"
    for name, bound in sorted(quantity.parse_list(limit.get("maxLimitRequestRatio")).items()):
        request, maximum = requests.get(name), limits.get(name)
        text = f"{name} max limit to request ratio per {kind} is {bound}"
        if not request:
            yield f"{text}, but no request is specified or request is 0"
        elif not maximum:
            yield f"{text}, but no limit is specified or limit is 0"
        elif (ratio := _ratio(maximum, request, bound)) * 1000 > bound.milli_value():
            yield f"{text}, but provided ratio is {ratio:f}"


def _ratio(maximum: Quantity, request: Quantity, bound: Quantity) -> float:
    """In thousandths where all three can be told in them, else in whole units."""
    if max(amount.value() for amount in (maximum, request, bound)) <= _MAX_MILLI:
        return maximum.milli_value() / request.milli_value()
    return maximum.value() / request.value()


def _check_claim(claim: Obj, limit_range: Obj) -> Iterator[str]:
    requests = quantity.parse_list(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    for limit in _limits(limit_range, "PersistentVolumeClaim"):
        for word, lower in (("min", True), ("max", False)):
            for name, bound in sorted(quantity.parse_list(limit.get(word)).items()):
                request = requests.get(name)
                text = f"{word}imum {name} usage per PersistentVolumeClaim is {bound}"
                if request is None:
                    yield f"{text}.  No request is specified"
                elif (request < bound) if lower else (bound < request):
                    yield f"{text}, but request is {request}"
