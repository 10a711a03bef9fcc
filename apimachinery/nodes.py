"""Whether a pod may be on a node: node selectors and affinity, taints and tolerations. Pure.

Called by the scheduler, the controllers that place pods or evict them, and the node agent. Rules are those of
component-helpers/scheduling/corev1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery import meta

Obj = dict[str, Any]
_NONE: dict[str, Any] = {}


# -- taints


def taints(node: Obj) -> list[Obj]:
    return (node.get("spec") or _NONE).get("taints") or []


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether a toleration matches a taint (v1.Toleration.ToleratesTaint)."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    left, right = toleration.get("value") or "", taint.get("value") or ""
    if operator == "Equal":
        return bool(left == right)
    wanted, actual = _integer(left), _integer(right)
    if wanted is None or actual is None:
        return False
    return actual < wanted if operator == "Lt" else operator == "Gt" and actual > wanted


def untolerated(
    node_taints: Iterable[Obj], tolerations: Iterable[Obj], effects: Iterable[str] = ("NoSchedule", "NoExecute")
) -> Obj | None:
    """The first taint of those effects that no toleration matches, or None."""
    listed, wanted = list(tolerations), set(effects)
    for taint in node_taints:
        if taint["effect"] in wanted and not any(tolerates(toleration, taint) for toleration in listed):
            return taint
    return None


# -- affinity


def matches_required(pod: Obj, node: Obj) -> bool:
    """Whether the node satisfies the pod's nodeSelector and its required node affinity."""
    spec = pod.get("spec") or _NONE
    labels = meta.labels(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or _NONE).items()):
        return False
    affinity = (spec.get("affinity") or _NONE).get("nodeAffinity") or _NONE
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or matches_selector(required, node)


def matches_selector(selector: Mapping[str, Any], node: Obj) -> bool:
    """Whether any term of a NodeSelector matches the node."""
    return any(matches_term(term, node) for term in selector.get("nodeSelectorTerms") or ())


def matches_term(term: Mapping[str, Any], node: Obj) -> bool:
    """Whether all of a term's requirements hold; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = meta.labels(node)
    own = {"metadata.name": meta.name(node)}
    return all(_matches(entry, labels) for entry in expressions) and all(_matches(entry, own) for entry in fields)


def _matches(requirement: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    operator, key = requirement["operator"], requirement["key"]
    listed: list[str] = requirement.get("values") or []
    if operator == "In":
        return values.get(key) in listed
    if operator == "NotIn":
        return values.get(key) not in listed
    if operator == "Exists":
        return key in values
    if operator == "DoesNotExist":
        return key not in values
    actual = _integer(values.get(key, ""))
    bound = _integer(listed[0]) if len(listed) == 1 else None
    if actual is None or bound is None:
        return False
    return actual > bound if operator == "Gt" else operator == "Lt" and actual < bound


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    return int(text) if digits.isascii() and digits.isdigit() else None
