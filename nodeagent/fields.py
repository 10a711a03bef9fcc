"""What a pod may learn of itself: fieldRef and resourceFieldRef, for environment variables and downward API files. Pure.

The texts are those that the original's fieldpath package makes; a resource that a container does not limit is the
node's allocatable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apimachinery import quantity
from apimachinery.field import go_quote

Obj = dict[str, Any]

_KEYED = re.compile(r"(metadata\.(?:labels|annotations))\['?([^']*?)'?\]\Z")
_STATUS = (
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.nodeName",
    "spec.serviceAccountName",
)


class FieldError(ValueError):
    """The pod has no such field; the text is the original's."""


def extract(pod: Obj, path: str, status: Mapping[str, Any]) -> str:
    """The text of a field; status: the addresses as the node agent knows them now."""
    metadata = pod["metadata"]
    keyed = _KEYED.match(path)
    if keyed:
        return str((metadata.get(keyed[1].removeprefix("metadata.")) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return format_map(metadata.get(path.removeprefix("metadata.")) or {})
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata.get(path.removeprefix("metadata."), ""))
    if path in ("status.hostIP", "status.podIP"):
        return str(status.get(path.removeprefix("status."), "") or "")
    if path in ("status.hostIPs", "status.podIPs"):
        return ",".join(entry["ip"] for entry in status.get(path.removeprefix("status.")) or ())
    if path == "spec.nodeName":
        return str(pod["spec"].get("nodeName", ""))
    if path == "spec.serviceAccountName":
        return str(pod["spec"].get("serviceAccountName", ""))
    raise FieldError(f"unsupported fieldPath: {path}")


def format_map(entries: Mapping[str, str]) -> str:
    """Labels or annotations as a file holds them: key="value", sorted, one a line."""
    return "\n".join(f"{key}={go_quote(entries[key])}" for key in sorted(entries))


def extract_resource(
    pod: Obj, reference: Mapping[str, Any], container_name: str, allocatable: Mapping[str, str]
) -> str:
    """The text of requests.X or limits.X of a container, divided and rounded up."""
    name = reference.get("containerName") or container_name
    everyone = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    container = next((c for c in everyone if c["name"] == name), None)
    if container is None:
        raise FieldError(f"container {name} not found")
    kind, _, resource = reference["resource"].partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise FieldError(f"unsupported container resource : {reference['resource']}")
    own = container.get("resources") or {}
    value = (own.get(kind) or {}).get(resource)
    if kind == "limits" and value is None:
        value = allocatable.get(resource, "0")
    divisor = quantity.parse(reference.get("divisor") or "1")
    if divisor.is_zero():
        divisor = quantity.parse("1")
    amount = quantity.parse(value if value is not None else "0")
    if resource == "cpu":
        return str(-(-amount.milli_value() // max(1, divisor.milli_value())))
    return str(-(-amount.value() // max(1, divisor.value())))
