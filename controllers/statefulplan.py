"""The reckoning of a StatefulSet: which pod comes or goes next. Plain functions, no I/O.

Called by statefulset.py alone. Pods have ordinals and come and go in order, one by one, unless the set manages them in
parallel; rules are those of the original's pkg/controller/statefulset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import meta, pods
from client.resources import STATEFUL_SETS
from controllers import rollout
from controllers.base import copy
from controllers.podcontrol import pod_from_template

Obj = dict[str, Any]

REVISION = "controller-revision-hash"
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


# -- identity


def ordinal(stateful_set: Obj, pod: Obj) -> int | None:
    """The pod's ordinal; None if its name does not make it a member."""
    parent, _, number = meta.name(pod).rpartition("-")
    return int(number) if parent == meta.name(stateful_set) and number.isdigit() else None


def start(stateful_set: Obj) -> int:
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def wanted_ordinals(stateful_set: Obj) -> range:
    first = start(stateful_set)
    return range(first, first + rollout.replicas(stateful_set))


def claim_name(stateful_set: Obj, template: Obj, number: int) -> str:
    return f"{meta.name(template)}-{meta.name(stateful_set)}-{number}"


def claims_of(stateful_set: Obj, number: int) -> list[Obj]:
    """The PersistentVolumeClaims that the pod of that ordinal uses."""
    labels = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
    result = []
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        described = template.get("metadata") or {}
        metadata = {
            "name": claim_name(stateful_set, template, number),
            "namespace": meta.namespace(stateful_set),
            "labels": {**(described.get("labels") or {}), **labels},
        }
        if described.get("annotations"):
            metadata["annotations"] = described["annotations"]
        result.append({"metadata": metadata, "spec": template["spec"]})
    return result


def identify(stateful_set: Obj, pod: Obj, number: int) -> Obj:
    """The pod with the name, labels, host name and volumes of its ordinal."""
    result = copy(pod)
    name = f"{meta.name(stateful_set)}-{number}"
    metadata, spec = result["metadata"], result["spec"]
    metadata.pop("generateName", None)
    metadata["name"] = name
    metadata["namespace"] = meta.namespace(stateful_set)
    metadata.setdefault("labels", {}).update({POD_NAME: name, POD_INDEX: str(number)})
    spec.setdefault("hostname", name)
    if stateful_set["spec"].get("serviceName"):
        spec["subdomain"] = stateful_set["spec"]["serviceName"]
    templates = stateful_set["spec"].get("volumeClaimTemplates") or ()
    if templates:
        own = {meta.name(template) for template in templates}
        volumes = [volume for volume in spec.get("volumes") or () if volume["name"] not in own]
        for template in templates:
            claim = {"claimName": claim_name(stateful_set, template, number)}
            volumes.append({"name": meta.name(template), "persistentVolumeClaim": claim})
        spec["volumes"] = volumes
    return result


def make_pod(stateful_set: Obj, template: Obj, revision: str, number: int) -> Obj:
    pod = identify(stateful_set, pod_from_template(template, stateful_set, STATEFUL_SETS), number)
    pod["metadata"].setdefault("labels", {})[REVISION] = revision
    return pod


def is_identified(stateful_set: Obj, pod: Obj) -> bool:
    """Whether labels and volumes are what the pod's ordinal says."""
    number = ordinal(stateful_set, pod)
    labels = meta.labels(pod)
    if number is None or labels.get(POD_NAME) != meta.name(pod) or labels.get(POD_INDEX) != str(number):
        return False
    used = {(volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in pod["spec"].get("volumes") or ()}
    return all(meta.name(claim) in used for claim in claims_of(stateful_set, number))


# -- deciding


@dataclass(frozen=True, slots=True)
class Revisions:
    """Names of the revision that the set comes from and of the one it goes to."""

    current: str
    update: str


@dataclass(slots=True)
class Plan:
    """What to do now. create: ordinals and the revision of each; fix: pods whose identity is not right; settle: pods whose
    claims must exist before they can start."""

    create: list[tuple[int, str]] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    recreate: list[Obj] = field(default_factory=list)
    fix: list[Obj] = field(default_factory=list)
    settle: list[Obj] = field(default_factory=list)


def is_parallel(stateful_set: Obj) -> bool:
    return bool(stateful_set["spec"].get("podManagementPolicy") == "Parallel")


def revision_of(pod: Obj) -> str:
    return meta.labels(pod).get(REVISION, "")


def runs(pod: Obj) -> bool:
    return pods.phase(pod) == "Running" and pods.is_ready(pod)


def is_available(stateful_set: Obj, pod: Obj, now: float) -> bool:
    min_ready = stateful_set["spec"].get("minReadySeconds") or 0
    return runs(pod) and pods.is_available(pod, min_ready, now)


def strategy(stateful_set: Obj) -> tuple[str, int, int]:
    """(type, partition, maxUnavailable) of the update strategy."""
    described = stateful_set["spec"].get("updateStrategy") or {}
    rolling = described.get("rollingUpdate") or {}
    wanted = rollout.replicas(stateful_set)
    limit = rollout.scaled_value(rolling.get("maxUnavailable", 1), wanted, up=True)
    return described.get("type", "RollingUpdate"), int(rolling.get("partition") or 0), max(1, limit)


def revision_for(stateful_set: Obj, number: int, revisions: Revisions) -> str:
    """The revision that a new pod of that ordinal gets: below the partition the current one."""
    kind, partition, _ = strategy(stateful_set)
    rolling = (stateful_set["spec"].get("updateStrategy") or {}).get("rollingUpdate")
    offset = number - start(stateful_set)
    if kind == "RollingUpdate":
        settled = (stateful_set.get("status") or {}).get("currentReplicas") or 0
        if offset < (partition if rolling is not None else settled):
            return revisions.current
    return revisions.update


def plan(stateful_set: Obj, owned: Sequence[Obj], revisions: Revisions, now: float) -> Plan:
    """The next step."""
    result = Plan()
    by_ordinal = {number: pod for pod in owned if (number := ordinal(stateful_set, pod)) is not None}
    wanted = wanted_ordinals(stateful_set)
    condemned = [by_ordinal[number] for number in sorted(by_ordinal, reverse=True) if number not in wanted]
    if _fill(result, stateful_set, by_ordinal, revisions, now):
        return result
    unhealthy = [pod for _, pod in sorted(by_ordinal.items()) if not _healthy(stateful_set, pod, now)]
    first_unhealthy = unhealthy[0] if unhealthy else None
    if _shrink(result, stateful_set, condemned, first_unhealthy, now) or result.delete or result.recreate:
        return result
    _roll(result, stateful_set, [by_ordinal[number] for number in wanted if number in by_ordinal], revisions, now)
    return result


def _healthy(stateful_set: Obj, pod: Obj, now: float) -> bool:
    return is_available(stateful_set, pod, now) and not meta.deleting(pod)


def _fill(result: Plan, stateful_set: Obj, by_ordinal: dict[int, Obj], revisions: Revisions, now: float) -> bool:
    """Have a healthy pod for every ordinal, in order; True if that is all for now."""
    in_order = not is_parallel(stateful_set)
    for number in wanted_ordinals(stateful_set):
        pod = by_ordinal.get(number)
        if pod is None:
            result.create.append((number, revision_for(stateful_set, number, revisions)))
            if in_order:
                return True
            continue
        if pods.is_terminal(pod):
            if not meta.deleting(pod):
                result.recreate.append(pod)
            if in_order:
                return True
            continue
        if pods.phase(pod) == "Pending":
            result.settle.append(pod)
        if not is_identified(stateful_set, pod):
            result.fix.append(pod)
        if in_order and (meta.deleting(pod) or not is_available(stateful_set, pod, now)):
            return True
    return bool(result.recreate)


def _shrink(result: Plan, stateful_set: Obj, condemned: Sequence[Obj], first_unhealthy: Obj | None, now: float) -> bool:
    """Delete pods beyond the wanted ordinals, the highest first; True if one must be waited for."""
    in_order = not is_parallel(stateful_set)
    for pod in condemned:
        if meta.deleting(pod):
            if in_order:
                return True
            continue
        if in_order and not is_available(stateful_set, pod, now) and pod is not first_unhealthy:
            # Something lower is unwell: do not make the set smaller meanwhile.
            return True
        result.delete.append(pod)
        if in_order:
            return True
    return False


def _roll(result: Plan, stateful_set: Obj, ordered: Sequence[Obj], revisions: Revisions, now: float) -> None:
    """Delete outdated pods from the highest ordinal down to the partition, waiting for each to come back."""
    kind, partition, limit = strategy(stateful_set)
    if kind != "RollingUpdate":
        return
    down = sum(not _healthy(stateful_set, pod, now) for pod in ordered)
    first = start(stateful_set)
    for pod in reversed(ordered):
        number = ordinal(stateful_set, pod)
        if number is None or number < first + partition:
            break
        outdated = revision_of(pod) != revisions.update
        healthy = _healthy(stateful_set, pod, now)
        if outdated and not meta.deleting(pod):
            if healthy and down >= limit:
                return
            result.delete.append(pod)
            down += healthy
            if len(result.delete) >= limit:
                return
        elif not healthy and down >= limit:
            return


def count(stateful_set: Obj, owned: Iterable[Obj], revisions: Revisions, now: float) -> Obj:
    """The status, with the rollout declared complete when it is."""
    collisions = (stateful_set.get("status") or {}).get("collisionCount") or 0
    status: Obj = {"observedGeneration": meta.generation(stateful_set), "collisionCount": collisions}
    counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"), 0)
    for pod in owned:
        if not pods.phase(pod):
            continue
        counts["replicas"] += 1
        counts["readyReplicas"] += runs(pod)
        counts["availableReplicas"] += is_available(stateful_set, pod, now)
        if not meta.deleting(pod):
            counts["currentReplicas"] += revision_of(pod) == revisions.current
            counts["updatedReplicas"] += revision_of(pod) == revisions.update
    current = revisions.current
    wanted = rollout.replicas(stateful_set)
    if strategy(stateful_set)[0] == "RollingUpdate" and all(
        counts[name] == wanted for name in ("updatedReplicas", "replicas", "readyReplicas")
    ):
        counts["currentReplicas"] = counts["updatedReplicas"]
        current = revisions.update
    status["replicas"] = counts.pop("replicas")
    status["availableReplicas"] = counts.pop("availableReplicas")
    status.update({name: value for name, value in counts.items() if value})
    status["currentRevision"] = current
    status["updateRevision"] = revisions.update
    return status
