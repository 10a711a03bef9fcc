"""managedFields after mutating admission: what a webhook made senseless of them is put back, with a warning.

Called by chain.py around the mutating half of every write. Refuses to judge whether entries are true: a webhook may write
other ones, if they are well-formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.field import go_quote
from apiserver.admission.base import Attributes
from apiserver.patch import fieldset

_WARNING = (
    ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission "
    "controller; please fix your requests: "
)


def of(a: Attributes) -> Any:
    """The entries that the object has now."""
    return ((a.obj or {}).get("metadata") or {}).get("managedFields")


def check(a: Attributes, before: Any) -> None:
    """Put the entries from before admission back when those after it are none."""
    after = of(a)
    if after is before or not after or a.obj is None or not (problem := _problem(after)):
        return
    a.warnings.append(_WARNING + problem)
    if before:
        a.obj["metadata"]["managedFields"] = before
    else:
        del a.obj["metadata"]["managedFields"]


def _problem(entries: Sequence[dict[str, Any]]) -> str:
    for at, entry in enumerate(entries):
        if entry.get("operation") not in ("Apply", "Update"):
            return "operation must be `Apply` or `Update`"
        if not entry.get("apiVersion"):
            return "apiVersion must not be empty"
        kind = entry.get("fieldsType") or ""
        if kind != "FieldsV1":
            fault = f"invalid fieldsType {go_quote(kind)} in" if kind else "missing fieldsType in"
            return f"{fault} managed fields entry {at}"
        try:
            fieldset.read(entry.get("fieldsV1") or {})
        except ValueError as error:
            return f"error decoding versioned set: {error}"
    return ""
