"""Job of batch/v1: pods that run to completion."""

from __future__ import annotations

from typing import Any

from apimachinery import field, times
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells, podtemplates, strategy
from apiserver.kinds.batch import job_rules, job_status
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, STATUS, Column, Ctx, Kind, Obj
from apiserver.validation import gostruct, meta, names, podspec

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
    telling_empties = podspec.TELLING_EMPTIES
    orphan_by_default = True
    orphaning_warning = (
        "child pods are preserved by default when jobs are deleted; "
        "set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
    )
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
        labels = podtemplates.template_labels(spec["template"])
        if labels and not obj["metadata"].get("labels"):
            # One map in two places, as in the original: what is generated later shows in both.
            obj["metadata"]["labels"] = labels

    def canonicalize(self, obj: Obj) -> None:
        # The original defaults once more when it reads what it stored, and so sees the labels it has generated.
        labels = podtemplates.template_labels(obj["spec"].get("template") or {})
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        podtemplates.prepare(obj)
        if not obj["spec"].get("manualSelector"):
            _generate_selector(obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        podtemplates.prepare(obj)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        return _validate(obj, None)

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        if ctx.subresource == "status":
            return job_status.validate(obj, old)
        errors = meta.validate_object_meta(obj["metadata"], True, names.dns_subdomain, core=True)
        errors += _validate(obj, old)
        return errors + job_rules.validate_spec(obj["spec"], "spec", old["spec"]) + _validate_change(obj, old)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if ctx.subresource:
            return []
        texts = strategy.pod_name_advice(obj["metadata"]["name"]) if old is None else []
        return texts + job_rules.warnings(obj, old, "spec")


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
    for name in (_OLD_NAME_LABEL, NAME_LABEL):
        labels.setdefault(name, meta_.get("name", ""))
    for name in (_OLD_UID_LABEL, UID_LABEL):
        labels.setdefault(name, meta_["uid"])
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
            errors.append(field.invalid(path, dict(sorted(labels.items())), f"must be '{value}'"))
    parsed = podtemplates.selector_of(spec["selector"])
    if parsed is not None and not parsed.matches(expected):
        errors.append(
            field.invalid(
                "spec.selector", podtemplates.drawn_selector(spec["selector"]), "`selector` not auto-generated"
            )
        )
    return errors


_STRUCTS = ("podFailurePolicy", "successPolicy")
_FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def _validate_change(obj: Obj, old: Obj) -> list[FieldError]:
    new_spec, old_spec = obj["spec"], old["spec"]
    errors = _completions_change(new_spec, old_spec)
    errors += podtemplates.fixed_selector(new_spec, old_spec)
    errors += _template_change(new_spec, old)
    for name in _FIXED:
        draw = job_rules.draw(name) if name in _STRUCTS else None
        errors += meta.validate_immutable(new_spec.get(name), old_spec.get(name), f"spec.{name}", draw)
    return errors


def _completions_change(new: Obj, old: Obj) -> list[FieldError]:
    value = new.get("completions")
    if new.get("completionMode") != "Indexed":
        return meta.validate_immutable(value, old.get("completions"), "spec.completions")
    if value is None or value == old.get("completions") or value == new.get("parallelism"):
        return []
    return [field.invalid("spec.completions", value, "can only be modified in tandem with spec.parallelism")]


_SAME_TEMPLATE = gostruct.same("batch/v1/Job", "spec", "template")
_SAME_POD = gostruct.same("v1/Pod", "spec")
_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates")


def _template_change(spec: Obj, old: Obj) -> list[FieldError]:
    """The template is fixed. While a job is suspended and has no pods its metadata may change, where and with what pods run."""
    template: Obj = spec.get("template") or {}
    stored: Obj = old["spec"].get("template") or {}
    if not _at_rest(old):
        if _SAME_TEMPLATE(template, stored):
            return []
        return [field.invalid("spec.template", gostruct.pod_template(template), meta.IMMUTABLE)]
    pod = template.get("spec") or {}
    masked = _masked(stored.get("spec") or {}, pod)
    if _SAME_POD(pod, masked):
        return []
    return [field.invalid("spec.template.spec", gostruct.pod_spec(pod), meta.IMMUTABLE)]


def _at_rest(job: Obj) -> bool:
    """Whether it is suspended, has not started or has stopped again, and has no pods."""
    status = job.get("status") or {}
    if not job["spec"].get("suspend") or status.get("active"):
        return False
    return not status.get("startTime") or "Suspended" in job_status.conditions(job, "True")


def _masked(stored: Obj, pod: Obj) -> Obj:
    """The stored pod spec with what may change as the new one has it."""
    out = dict(stored)
    for name in _DIRECTIVES:
        out[name] = pod.get(name)
    new, old = pod.get("affinity"), stored.get("affinity")
    if new is not None or old is not None:
        affinity = {**(old or {}), "nodeAffinity": (new or {}).get("nodeAffinity")}
        keep = new is not None or any(value is not None for value in affinity.values())
        out["affinity"] = affinity if keep else None
    for group in ("containers", "initContainers"):
        ours, theirs = stored.get(group) or [], pod.get(group) or []
        if len(ours) == len(theirs):
            out[group] = [
                {**was, "resources": now.get("resources")} if was.get("name") == now.get("name") else was
                for was, now in zip(ours, theirs, strict=True)
            ]
    return out


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
