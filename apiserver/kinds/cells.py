"""Table cells that several kinds print: ages, containers, labels, selectors. Called by the `cells` hooks of kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.gvk import split_api_version
from apiserver.registry.kind import Column

NONE = "<none>"


def since(timestamp: str | None, clock: Clock) -> str:
    """How long ago a (micro) time was, as tables print it; "<unknown>" when there is none."""
    return times.human_duration(clock.time() - times.parse_time(timestamp)) if timestamp else "<unknown>"


def age(obj: Mapping[str, Any], clock: Clock) -> str:
    """The object's age."""
    return since(obj["metadata"].get("creationTimestamp"), clock)


def containers_and_images(containers: Sequence[Mapping[str, Any]] | None) -> tuple[str, str]:
    """The cells "Containers" and "Images" of a pod template."""
    items = containers or ()
    return ",".join(c.get("name", "") for c in items), ",".join(c.get("image", "") for c in items)


def labels(values: Mapping[str, str] | None) -> str:
    """A map of labels as "a=b,c=d", sorted."""
    return ",".join(f"{k}={v}" for k, v in sorted(values.items())) if values else NONE


def label_selector(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector object in the text form of selectors, sorted by key."""
    if not selector:
        return NONE
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        key, operator = term.get("key", ""), term.get("operator", "")
        values = ",".join(sorted(term.get("values") or ()))
        match operator:
            case "In":
                terms.append((key, f"{key} in ({values})"))
            case "NotIn":
                terms.append((key, f"{key} notin ({values})"))
            case "Exists":
                terms.append((key, key))
            case "DoesNotExist":
                terms.append((key, f"!{key}"))
            case _:
                return "<error>"
    return ",".join(text for _, text in sorted(terms, key=lambda item: item[0])) or NONE


def go_label_selector(selector: Mapping[str, Any]) -> str:
    """A LabelSelector object as Go's generated code prints it."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{term.get('key', '')},Operator:{term.get('operator', '')},"
        f"Values:[{' '.join(term.get('values') or ())}],}},"
        for term in selector.get("matchExpressions") or ()
    )
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"


CONTAINER_COLUMNS = (
    Column("Containers", description="Names of each container in the template.", priority=1),
    Column("Images", description="Images referenced by each container in the template.", priority=1),
)


def template_cells(spec: Mapping[str, Any]) -> tuple[str, str]:
    """The cells of CONTAINER_COLUMNS for a spec with a pod template."""
    return containers_and_images(((spec.get("template") or {}).get("spec") or {}).get("containers"))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """As label_selector, but empty for an empty selector (Deployments print it so)."""
    text = label_selector(selector)
    return "" if text == NONE else "<invalid>" if text == "<error>" else text


def controller(obj: Mapping[str, Any]) -> str:
    """The controlling owner as "kind.group/name" in lower case."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group, _ = split_api_version(owner.get("apiVersion", ""))
            kind = f"{owner.get('kind', '')}.{group}" if group else owner.get("kind", "")
            return f"{kind.lower()}/{owner.get('name', '')}" if kind else str(owner.get("name", ""))
    return NONE


def go_bool(value: bool | None) -> str:
    """A pointer to a boolean as tables print it."""
    return "<unset>" if value is None else str(bool(value))
