"""CSIStorageCapacity of storage.k8s.io/v1: how much a storage class has left in a topology segment."""

from __future__ import annotations

from typing import Any

from apimachinery import field, quantity
from apimachinery.field import FieldError
from apimachinery.quantity import QuantityError
from apiserver.registry.kind import Ctx, Kind, Obj
from apiserver.validation import gostruct, labels, meta, names
from apiserver.validation.pod.warnings import node_label_selector_warnings

_TOPOLOGY = ("storage.k8s.io/v1/CSIStorageCapacity", "nodeTopology")
_DRAWN, _SAME = gostruct.value(*_TOPOLOGY), gostruct.same(*_TOPOLOGY)


class CSIStorageCapacity(Kind):
    group = "storage.k8s.io"
    kind = "CSIStorageCapacity"
    plural = "csistoragecapacities"
    unconditional_update = False
    revalidates_metadata = 1
    revalidates_first = True

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        errors = labels.validate_label_selector(obj.get("nodeTopology"), "nodeTopology")
        name = obj.get("storageClassName") or ""
        errors += [field.invalid("storageClassName", name, text) for text in names.dns_subdomain(name)]
        value = obj.get("capacity")
        if value is not None and _is_negative(value):
            errors.append(field.invalid("capacity", value, meta.NOT_NEGATIVE))
        return errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = self.validate(ctx, obj)
        errors += meta.validate_immutable(
            obj.get("nodeTopology"), old.get("nodeTopology"), "nodeTopology", _DRAWN, _SAME
        )
        name, before = obj.get("storageClassName") or "", old.get("storageClassName") or ""
        return errors + meta.validate_immutable(name, before, "storageClassName")

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        return node_label_selector_warnings(obj.get("nodeTopology"), "nodeTopology")


def _is_negative(value: Any) -> bool:
    try:
        return quantity.parse(value).sign() < 0
    except QuantityError:
        return False
