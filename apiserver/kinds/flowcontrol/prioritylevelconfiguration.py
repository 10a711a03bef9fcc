"""PriorityLevelConfiguration of flowcontrol.apiserver.k8s.io/v1: a share of the server, and its queues."""

from __future__ import annotations

import math
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, strategy
from apiserver.kinds.flowcontrol import mandatory, rules
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta

_MAX_QUEUES = 10_000_000
_MAX_HASH_BITS = 60

_DRAWN = gostruct.value("flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration", "spec")


class PriorityLevelConfiguration(Kind):
    group = "flowcontrol.apiserver.k8s.io"
    kind = "PriorityLevelConfiguration"
    plural = "prioritylevelconfigurations"
    namespaced = False
    subresources = (STATUS,)
    has_generation = True
    columns = (
        NAME_COLUMN,
        Column("Type", doc="spec.type"),
        Column("NominalConcurrencyShares", doc="spec.limited.nominalConcurrencyShares"),
        Column("Queues", doc="spec.limited.limitResponse.queuing.queues"),
        Column("HandSize", doc="spec.limited.limitResponse.queuing.handSize"),
        Column("QueueLengthLimit", doc="spec.limited.limitResponse.queuing.queueLengthLimit"),
        AGE_COLUMN,
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec = obj.get("spec") or {}
        shares: Any = cells.NONE
        queues: list[Any] = [cells.NONE] * 3
        if (limited := spec.get("limited")) is not None:
            shares = limited.get("nominalConcurrencyShares", 0)
            if (queuing := (limited.get("limitResponse") or {}).get("queuing")) is not None:
                queues = [queuing.get(name, 0) for name in ("queues", "handSize", "queueLengthLimit")]
        return [obj["metadata"]["name"], spec.get("type", ""), shares, *queues, cells.age(obj, clock)]

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("type") == "Exempt":
            exempt = spec["exempt"] = spec.get("exempt") or {}
            for name in ("nominalConcurrencyShares", "lendablePercent"):
                if exempt.get(name) is None:
                    exempt[name] = 0
        if (limited := spec.get("limited")) is not None:
            if limited.get("nominalConcurrencyShares") is None:
                limited["nominalConcurrencyShares"] = 30
            if limited.get("lendablePercent") is None:
                limited["lendablePercent"] = 0
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            for name, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if queuing is not None and not queuing.get(name):
                    queuing[name] = value

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            strategy.keep_metadata(obj, old)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        spec, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
        errors = _validate_spec(spec, name)
        fixed = mandatory.PRIORITY_LEVELS.get(name)
        if fixed is not None and name == "exempt":
            if not meta.same({**spec, "exempt": None}, {**fixed, "exempt": None}):
                text = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
                errors.append(field.invalid("spec", _DRAWN(spec), text))
        elif fixed is not None and not meta.same(spec, fixed):
            errors.append(field.invalid("spec", _DRAWN(spec), f"spec of '{name}' must equal the fixed value"))
        return errors + rules.validate_conditions(obj.get("status") or {})

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return rules.validate_conditions(obj.get("status") or {})
        return self.validate(ctx, obj)


def _validate_spec(spec: Obj, name: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if (name == "exempt") != (kind == "Exempt"):
        errors.append(field.invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'"))
    if kind == "Exempt":
        if limited is not None:
            errors.append(field.forbidden("spec.limited", "must be nil if the type is not Limited"))
        if exempt is not None:
            errors += _shares(exempt, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            errors.append(field.forbidden("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            errors.append(field.required("spec.limited", "must not be empty when type is Limited"))
        else:
            errors += _limited(limited)
    else:
        errors.append(field.not_supported("spec.type", kind, ["Exempt", "Limited"]))
    return errors


def _shares(part: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    shares, lendable = part.get("nominalConcurrencyShares"), part.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.append(field.invalid(path + ".nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(field.invalid(path + ".lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    return errors


def _limited(limited: Obj) -> list[FieldError]:
    path = "spec.limited"
    errors = _shares(limited, path)
    response, at = limited.get("limitResponse") or {}, path + ".limitResponse"
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        if queuing is not None:
            text = "must be nil if limited.limitResponse.type is not Limited"
            errors.append(field.forbidden(at + ".queuing", text))
    elif kind == "Queue":
        if queuing is None:
            text = "must not be empty if limited.limitResponse.type is Limited"
            errors.append(field.required(at + ".queuing", text))
        else:
            errors += _queuing(queuing, at + ".queuing")
    else:
        errors.append(field.not_supported(at + ".type", kind, ["Queue", "Reject"]))
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        errors.append(field.invalid(path + ".borrowingLimitPercent", borrowing, text))
    return errors


def _queuing(queuing: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    length, queues, hand = (queuing.get(name) or 0 for name in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        errors.append(field.invalid(path + ".queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(field.invalid(path + ".queues", queues, "must be positive"))
    elif queues > _MAX_QUEUES:
        errors.append(field.invalid(path + ".queues", queues, f"must not be greater than {_MAX_QUEUES}"))
    if hand <= 0:
        errors.append(field.invalid(path + ".handSize", hand, "must be positive"))
    elif hand > queues:
        errors.append(field.invalid(path + ".handSize", hand, f"should not be greater than queues ({queues})"))
    elif _entropy_bits(queues, hand) > _MAX_HASH_BITS:
        text = (
            f"required entropy bits of deckSize {queues} and handSize {hand} "
            f"should not be greater than {_MAX_HASH_BITS}"
        )
        errors.append(field.invalid(path + ".handSize", hand, text))
    return errors


def _entropy_bits(deck: int, hand: int) -> int:
    """Bits that dealing a hand of shuffle sharding takes."""
    return math.ceil(math.log2(deck) * hand)
