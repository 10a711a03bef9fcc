"""Job of batch/v1: pods that run to completion."""

from __future__ import annotations

from typing import Any

from apimachinery import field, times
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates, strategy
from apiserver.kinds.batch import job_rules, job_status
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta, names

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
_OLD_UID_LABEL = "controller-uid"
_OLD_NAME_LABEL = "job-name"
_MAX_INT32 = 2**31 - 1


class Job(Kind):
    group = "batch"
    kind = "Job"
    plural = "jobs"
    categories = ("all",)
    subresources = (STATUS,)
    has_generation = True
    orphan_by_default = True
    columns = (
        NAME_COLUMN,
        Column("Status", description="Status of the job."),
        Column("Completions", doc="status.succeeded"),
        Column("Duration", description="Time required to complete the job."),
        AGE_COLUMN,
        *cells.CONTAINER_COLUMNS,
        Column("Selector", doc="spec.selector", priority=1),
    )

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        spec, status = obj["spec"], obj.get("status") or {}
        return [
            obj["metadata"]["name"],
            _state(obj, status),
            _completions(spec, status),
            _duration(status, clock),
            cells.age(obj, clock),
            *cells.template_cells(spec),
            cells.label_selector(spec.get("selector")),
        ]

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded", 0))}

    def default(self, obj: Obj, version: str) -> None:
        spec = obj.setdefault("spec", {})
        podtemplates.default_template(spec)
        default_failure_policy(spec)
        if spec.get("completions") is None and spec.get("parallelism") is None:
            spec["completions"] = spec["parallelism"] = 1
        policy = spec.get("podFailurePolicy")
        for name, value in (
            ("parallelism", 1),
            ("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else _MAX_INT32),
            ("completionMode", "NonIndexed"),
            ("suspend", False),
            ("podReplacementPolicy", "TerminatingOrFailed" if policy is None else "Failed"),
            ("manualSelector", False),
        ):
            if spec.get(name) is None:
                spec[name] = value
        self.canonicalize(obj)

    def canonicalize(self, obj: Obj) -> None:
        # The original defaults once more when it reads what it stored, and so sees the labels it has generated.
        labels = podtemplates.template_labels(obj["spec"].get("template") or {})
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        if not obj["spec"].get("manualSelector"):
            _generate_selector(obj)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return job_status.validate(obj, old)
        errors = _validate(obj, old)
        return errors + job_rules.validate_spec(obj["spec"], "spec", old["spec"]) + _validate_change(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource:
            return []
        spec = obj["spec"]
        texts = strategy.pod_name_advice(obj["metadata"]["name"]) if old is None else []
        if (spec.get("completions") or 0) > 100_000 and (spec.get("parallelism") or 0) > 10_000:
            texts.append(
                "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
                "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
            )
        return texts + podtemplates.warnings(obj, old)


def default_failure_policy(spec: Obj) -> None:
    """A pattern for pod conditions means the condition's being True."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def _generate_selector(obj: Obj) -> None:
    """Labels that make this job's pods its own, and a selector for them. What the user has set stays, and is judged later."""
    meta_ = obj["metadata"]
    template = obj["spec"].setdefault("template", {})
    template_meta = template["metadata"] = template.get("metadata") or {}
    labels = template_meta["labels"] = template_meta.get("labels") or {}
    if NAME_LABEL not in labels:
        labels[_OLD_NAME_LABEL] = labels[NAME_LABEL] = meta_.get("name", "")
    if UID_LABEL not in labels:
        labels[_OLD_UID_LABEL] = labels[UID_LABEL] = meta_["uid"]
    selector = obj["spec"]["selector"] = obj["spec"].get("selector") or {}
    match = selector["matchLabels"] = selector.get("matchLabels") or {}
    match.setdefault(UID_LABEL, meta_["uid"])


def _validate(obj: Obj, old: Obj | None) -> list[FieldError]:
    stored = podtemplates.template_labels(old["spec"].get("template") or {}) or {} if old else None
    errors = _generated_selector(obj, stored is None or (NAME_LABEL in stored and UID_LABEL in stored))
    errors += job_rules.validate_spec(obj["spec"], "spec", old and old["spec"])
    completions = obj["spec"].get("completions") or 0
    if obj["spec"].get("completionMode") == "Indexed" and completions > 0:
        name = obj["metadata"].get("name", "")
        host = f"{name}-{completions - 1}"
        if names.dns_label(host):
            text = f"will not able to create pod with invalid DNS label: {host}"
            errors.append(field.invalid("metadata.name", name, text))
    return errors


def _generated_selector(obj: Obj, prefixed: bool) -> list[FieldError]:
    """That nobody has spoilt what _generate_selector made. prefixed: the labels with a prefix are demanded too."""
    spec, meta_ = obj["spec"], obj["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return []
    errors: list[FieldError] = []
    if not meta_.get("uid"):
        errors.append(field.required("metadata.uid"))
    expected = {_OLD_UID_LABEL: meta_.get("uid", ""), _OLD_NAME_LABEL: meta_.get("name", "")}
    if prefixed:
        expected |= {UID_LABEL: meta_.get("uid", ""), NAME_LABEL: meta_.get("name", "")}
    labels = podtemplates.template_labels(spec.get("template") or {}) or {}
    for name, value in expected.items():
        path = f"spec.template.metadata.labels[{name}]"
        if name not in labels:
            errors.append(field.required(path, f"must be '{value}'"))
        elif labels[name] != value:
            errors.append(field.invalid(path, labels, f"must be '{value}'"))
    parsed = podtemplates.selector_of(spec["selector"])
    if parsed is not None and not parsed.matches(expected):
        errors.append(field.invalid("spec.selector", spec["selector"], "`selector` not auto-generated"))
    return errors


_FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def _validate_change(obj: Obj, old: Obj) -> list[FieldError]:
    new_spec, old_spec = obj["spec"], old["spec"]
    errors = _completions_change(new_spec, old_spec)
    errors += meta.validate_immutable(new_spec.get("selector"), old_spec.get("selector"), "spec.selector")
    errors += _template_change(new_spec.get("template") or {}, old)
    for name in _FIXED:
        errors += meta.validate_immutable(new_spec.get(name), old_spec.get(name), f"spec.{name}")
    return errors


def _completions_change(new: Obj, old: Obj) -> list[FieldError]:
    value = new.get("completions")
    if new.get("completionMode") != "Indexed":
        return meta.validate_immutable(value, old.get("completions"), "spec.completions")
    if value is None or value == old.get("completions") or value == new.get("parallelism"):
        return []
    return [field.invalid("spec.completions", value, "can only be modified in tandem with spec.parallelism")]


_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates")


def _template_change(template: Obj, old: Obj) -> list[FieldError]:
    """The template is fixed; while a job is suspended and has no pods, where and with what they run may change."""
    old_spec, status = old["spec"], old.get("status") or {}
    stored: Obj = old_spec.get("template") or {}
    if old_spec.get("suspend"):
        at_rest = "Suspended" in job_status.true_conditions(old) and not status.get("active")
        if not status.get("startTime") or at_rest:
            stored = _with_mutable_parts(template, stored)
    if meta.same(template, stored):
        return []
    return [field.invalid("spec.template", gostruct.pod_template(template), meta.IMMUTABLE)]


def _with_mutable_parts(template: Obj, stored: Obj) -> Obj:
    new_pod, old_pod = template.get("spec") or {}, dict(stored.get("spec") or {})
    for name in _DIRECTIVES:
        old_pod[name] = new_pod.get(name)
    affinity = dict(old_pod.get("affinity") or {})
    affinity["nodeAffinity"] = (new_pod.get("affinity") or {}).get("nodeAffinity")
    keep = new_pod.get("affinity") is not None or any(value is not None for value in affinity.values())
    old_pod["affinity"] = affinity if keep else None
    for group in ("containers", "initContainers"):
        new_list, old_list = new_pod.get(group) or [], old_pod.get(group) or []
        if [c.get("name") for c in new_list] == [c.get("name") for c in old_list]:
            old_pod[group] = [{**o, "resources": n.get("resources")} for n, o in zip(new_list, old_list, strict=True)]
    metadata = {**(stored.get("metadata") or {})}
    for name in ("labels", "annotations"):
        metadata[name] = (template.get("metadata") or {}).get(name)
    return {**stored, "metadata": metadata, "spec": old_pod}


def _state(obj: Obj, status: Obj) -> str:
    true = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    for kind in ("Complete", "Failed"):
        if kind in true:
            return kind
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if kind in true:
            return kind
    return "Running"


def _completions(spec: Obj, status: Obj) -> str:
    succeeded = status.get("succeeded", 0)
    if (wanted := spec.get("completions")) is not None:
        return f"{succeeded}/{wanted}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: Obj, clock: Clock) -> str:
    if not (started := status.get("startTime")):
        return ""
    finished = status.get("completionTime")
    end = times.parse_time(finished) if finished else clock.time()
    return times.human_duration(end - times.parse_time(started))
