"""Small things that several kinds do while they prepare a write. Called by the prepare_* hooks of kinds."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.registry.kind import Obj
from apiserver.validation import names

_STATUS_META = ("labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp", "generation")

POD_NAME_ADVICE = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
    "a DNS label is recommended: "
)


def keep_metadata(new: Obj, old: Obj, fields: Sequence[str] = _STATUS_META) -> None:
    """Metadata fields that a status update may not touch stay as they are (metav1.ResetObjectMetaForStatus)."""
    meta, old_meta = new["metadata"], old["metadata"]
    for name in fields:
        if name in old_meta:
            meta[name] = old_meta[name]
        else:
            meta.pop(name, None)


def pod_name_advice(name: str) -> list[str]:
    """The warning for a controller whose name makes odd host names."""
    texts = names.dns_label(name)
    return [POD_NAME_ADVICE + "[" + " ".join(texts) + "]"] if texts else []
