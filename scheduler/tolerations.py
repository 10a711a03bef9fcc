"""Taints and tolerations: which taints a pod puts up with (component-helpers/scheduling/corev1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Obj = dict[str, Any]
Taint = tuple[str, str, str]  # key, value, effect


def tolerates(toleration: Obj, taint: Taint) -> bool:
    """Whether the toleration matches the taint."""
    key, value, effect = taint
    if toleration.get("effect") and toleration["effect"] != effect:
        return False
    if toleration.get("key") and toleration["key"] != key:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    wanted = str(toleration.get("value") or "")
    if operator == "Equal":
        return wanted == value
    if operator in ("Gt", "Lt"):
        try:
            return int(value) > int(wanted) if operator == "Gt" else int(value) < int(wanted)
        except ValueError:
            return False
    return False


def untolerated(taints: Iterable[Taint], tolerations: Sequence[Obj], effects: Sequence[str]) -> Taint | None:
    """The first taint with one of these effects that no toleration matches."""
    for taint in taints:
        if taint[2] in effects and not any(tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None
