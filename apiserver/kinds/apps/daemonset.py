"""DaemonSet of apps/v1: one pod on each node."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.errors import Unconvertible
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, labels, numbers, podspec

# The internal field spec.templateGeneration of the original lives on in v1 as this annotation.
_INTEGER = re.compile("[+-]?[0-9]+")
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_SAME_TEMPLATE = gostruct.same("apps/v1/DaemonSet", "spec", "template")

_COUNTS = (
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
)


class DaemonSet(Kind):
    group = "apps"
    kind = "DaemonSet"
    plural = "daemonsets"
    short_names = ("ds",)
    categories = ("all",)
    subresources = (STATUS,)
    has_generation = True
    telling_empties = podspec.TELLING_EMPTIES
    columns = (
        NAME_COLUMN,
        Column("Desired", "integer", doc="status.desiredNumberScheduled"),
        Column("Current", "integer", doc="status.currentNumberScheduled"),
        Column("Ready", "integer", doc="status.numberReady"),
        Column("Up-to-date", "integer", doc="status.updatedNumberScheduled"),
        Column("Available", "integer", doc="status.numberAvailable"),
        Column("Node Selector", doc="spec.template.spec.nodeSelector"),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            *(status.get(name, 0) for name in _COUNTS),
            cells.labels(spec["template"].get("spec", {}).get("nodeSelector")),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.label_selector(spec.get("selector")),
        ]

    def default(self, obj: Obj, version: str) -> None:
        annotations = obj["metadata"]["annotations"] = obj["metadata"].get("annotations") or {}
        annotations[_TEMPLATE_GENERATION] = _read_generation(annotations.get(_TEMPLATE_GENERATION, "0"), version)
        spec = obj.setdefault("spec", {})
        podtemplates.default_template(spec)
        update = spec.setdefault("updateStrategy", {})
        update["type"] = update.get("type") or "RollingUpdate"
        if update["type"] == "RollingUpdate":
            rolling = update["rollingUpdate"] = update.get("rollingUpdate") or {}
            if rolling.get("maxUnavailable") is None:
                rolling["maxUnavailable"] = 1
        if (rolling := update.get("rollingUpdate")) is not None:
            for name in ("maxUnavailable", "maxSurge"):
                if rolling.get(name) is None:
                    rolling[name] = 0
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = 10

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        podtemplates.prepare(obj)
        if _template_generation(obj) < 1:
            _set_template_generation(obj, 1)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        podtemplates.prepare(obj)
        generation = _template_generation(old)
        if ctx.subresource == "status":  # the annotation is the spec's
            _set_template_generation(obj, generation)
            return
        if not _SAME_TEMPLATE(obj["spec"].get("template") or {}, old["spec"].get("template") or {}):
            generation += 1
        _set_template_generation(obj, generation)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate_spec(obj["spec"], None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return _validate_status(obj.get("status") or {}, old.get("status") or {})
        new_spec, old_spec = obj["spec"], old["spec"]
        errors = podtemplates.fixed_selector(new_spec, old_spec)
        return errors + _validate_spec(new_spec, old_spec)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource or (old is not None and _template_generation(obj) == _template_generation(old)):
            return []
        return podtemplates.warnings(obj, None)


def _template_generation(obj: Obj) -> int:
    """As prepare_create and prepare_update have written it."""
    return int((obj["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION, "0"))


def _read_generation(text: str, version: str) -> str:
    """As the original writes the number again; 400 for what it cannot convert to one."""
    if _INTEGER.fullmatch(text) and len(text) < 40 and -(2**63) <= int(text) < 2**63:
        return str(int(text))
    problem = "value out of range" if _INTEGER.fullmatch(text) else "invalid syntax"
    detail = f"strconv.ParseInt: parsing {field.go_quote(text)}: {problem}"
    raise Unconvertible(f'DaemonSet in version "{version}" cannot be handled as a DaemonSet: {detail}', detail)


def _set_template_generation(obj: Obj, generation: int) -> None:
    annotations = obj["metadata"]["annotations"] = obj["metadata"].get("annotations") or {}
    annotations[_TEMPLATE_GENERATION] = str(generation)


def _validate_spec(spec: Obj, old: Obj | None) -> list[FieldError]:
    selector, template = spec.get("selector"), spec.get("template") or {}
    allow = old is not None and labels.has_invalid_values(old.get("selector"))
    errors = labels.validate_label_selector(selector, "spec.selector", allow_invalid_values=allow)
    parsed = podtemplates.selector_of(selector)
    if parsed is not None:
        errors += podtemplates.mismatch(parsed, template, "spec.template")
    if selector is not None and labels.is_empty(selector):
        errors.append(
            field.invalid(
                "spec.selector", podtemplates.drawn_selector(selector), "empty selector is invalid for daemonset"
            )
        )
    errors += podtemplates.validate_template(template, "spec.template", old and old.get("template"))
    errors += podtemplates.endless(template, "spec.template", "DaemonSet")
    errors += numbers.non_negative_fields(spec, "spec", "minReadySeconds")
    errors += _validate_strategy(spec.get("updateStrategy") or {})
    return errors + numbers.non_negative_fields(spec, "spec", "revisionHistoryLimit")


def _validate_strategy(strategy: Obj) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        value = {"Type": kind, "RollingUpdate": numbers.drawn_rolling_update(rolling)}
        return [field.not_supported("spec.updateStrategy", value, ["RollingUpdate", "OnDelete"])]
    if rolling is None:
        return [field.required(path)]
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = numbers.int_or_percent(unavailable, path + ".maxUnavailable")
    errors += numbers.int_or_percent(surge, path + ".maxSurge")
    errors += numbers.at_most_100_percent(unavailable, path + ".maxUnavailable")
    errors += numbers.at_most_100_percent(surge, path + ".maxSurge")
    if numbers.plain_value(unavailable) and numbers.plain_value(surge):
        errors.append(field.invalid(path + ".maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif not numbers.plain_value(unavailable) and not numbers.plain_value(surge):
        errors.append(field.required(path + ".maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def _validate_status(status: Obj, old: Obj) -> list[FieldError]:
    errors = numbers.non_negative_fields(
        status,
        "status",
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    )
    return errors + numbers.not_decremented(status, old, "collisionCount", "status")
