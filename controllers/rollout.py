"""The arithmetic of a Deployment's rollout: who is new, who is old, how many each may have, and what its status says.

Called by deployment.py alone. Plain functions on dicts, no I/O; the rules are those of the original's
pkg/controller/deployment and its util.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from apimachinery import meta, times
from apimachinery.clock import Clock

Obj = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
}
_HISTORY_LENGTH = 2000  # characters of the history annotation
_NO_DEADLINE = 2**31 - 1
_SAFE = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no 0, 1, 3: encoded hashes spell no words


# -- templates


def template_hash(template: Obj, collisions: int) -> str:
    """A stable name for a pod template, in the original's alphabet; another one for each collision counted."""
    described = orjson.dumps([template, collisions], option=orjson.OPT_SORT_KEYS)
    number = int.from_bytes(hashlib.blake2b(described, digest_size=4).digest(), "big")
    return safe_encode(str(number))


def safe_encode(text: str) -> str:
    """rand.SafeEncodeString."""
    return "".join(_SAFE[ord(char) % len(_SAFE)] for char in text)


def same_template(one: Obj, other: Obj) -> bool:
    """Whether two templates describe the same pods, the hash label aside."""
    return bool(_without_hash(one) == _without_hash(other))


def _without_hash(template: Obj) -> Obj:
    metadata = template.get("metadata") or {}
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name != HASH_LABEL}
    bare = {name: value for name, value in metadata.items() if name != "labels" and value}
    return {**template, "metadata": {**bare, "labels": labels}}


def find_new(deployment: Obj, replica_sets: Iterable[Obj]) -> Obj | None:
    """The ReplicaSet of the present template: the oldest, if several have it."""
    template = deployment["spec"]["template"]
    return next((rs for rs in by_age(replica_sets) if same_template(rs["spec"]["template"], template)), None)


def by_age(replica_sets: Iterable[Obj]) -> list[Obj]:
    """Oldest first."""
    return sorted(replica_sets, key=lambda rs: (meta.created(rs), meta.name(rs)))


# -- counting


def replicas(obj: Obj | None) -> int:
    """spec.replicas."""
    return int(obj["spec"].get("replicas") or 0) if obj is not None else 0


def status_count(replica_sets: Iterable[Obj | None], name: str) -> int:
    return sum((rs.get("status") or {}).get(name) or 0 for rs in replica_sets if rs is not None)


def total(replica_sets: Iterable[Obj | None]) -> int:
    """Sum of spec.replicas."""
    return sum(replicas(rs) for rs in replica_sets)


def active(replica_sets: Iterable[Obj | None]) -> list[Obj]:
    """Those that are to have pods."""
    return [rs for rs in replica_sets if rs is not None and replicas(rs) > 0]


def is_rolling(deployment: Obj) -> bool:
    return str((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate")) == "RollingUpdate"


def fenceposts(deployment: Obj) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods: surge rounds up, unavailable down, and not both are 0."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = scaled_value(rolling.get("maxSurge", 0), wanted, up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", 0), wanted, up=False)
    return surge, unavailable if surge or unavailable else 1


def scaled_value(value: int | str, whole: int, *, up: bool) -> int:
    """An int-or-percent of `whole` (intstr.GetScaledValueFromIntOrPercent); 0 for what is neither."""
    if isinstance(value, int):
        return value
    digits = value.removesuffix("%")
    if not value.endswith("%") or not digits.isdigit():
        return 0
    share = int(digits) * whole
    return -(-share // 100) if up else share // 100


def max_surge(deployment: Obj) -> int:
    return fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Obj) -> int:
    if not is_rolling(deployment) or not replicas(deployment):
        return 0
    return min(fenceposts(deployment)[1], replicas(deployment))


def new_replicas(deployment: Obj, everyone: Sequence[Obj], new: Obj) -> int:
    """What the new ReplicaSet may have now without exceeding the surge."""
    if not is_rolling(deployment):
        return replicas(deployment)
    room = replicas(deployment) + max_surge(deployment) - total(everyone)
    if room <= 0:
        return replicas(new)
    return replicas(new) + min(room, replicas(deployment) - replicas(new))


def scale_down_old(deployment: Obj, old: Sequence[Obj], new: Obj) -> dict[str, int]:
    """New sizes of old ReplicaSets, by name: unhealthy pods go first, then as many as availability allows."""
    sizes = {meta.name(rs): replicas(rs) for rs in by_age(active(old))}
    if not sizes:
        return {}
    everyone = [*old, new]
    min_available = replicas(deployment) - max_unavailable(deployment)
    new_unavailable = replicas(new) - status_count([new], "availableReplicas")
    budget = total(everyone) - min_available - new_unavailable
    if budget <= 0:
        return {}
    result = dict(sizes)
    cleaned = 0
    for rs in by_age(active(old)):
        unhealthy = replicas(rs) - status_count([rs], "availableReplicas")
        step = max(0, min(budget - cleaned, unhealthy))
        result[meta.name(rs)] -= step
        cleaned += step
    spare = status_count(everyone, "availableReplicas") - min_available
    for name in result:
        step = min(result[name], max(spare, 0))
        result[name] -= step
        spare -= step
    return {name: size for name, size in result.items() if size != sizes[name]}


def scale_plan(deployment: Obj, new: Obj | None, old: Sequence[Obj]) -> dict[str, int]:
    """Sizes by name when the Deployment was scaled or is paused: in proportion, so that a rollout is not hastened."""
    only = active_or_latest(new, old)
    if only is not None:
        return {meta.name(only): replicas(deployment)} if replicas(only) != replicas(deployment) else {}
    if is_saturated(deployment, new):
        return {meta.name(rs): 0 for rs in active(old)}
    if not is_rolling(deployment):
        return {}
    everyone = active([*old, new])
    allowed = replicas(deployment) + max_surge(deployment) if replicas(deployment) else 0
    to_add = allowed - total(everyone)
    newest_first = -1 if to_add > 0 else 1
    everyone.sort(key=lambda rs: (-replicas(rs), newest_first * meta.created(rs)))
    added = 0
    sizes = {}
    for rs in everyone:
        share = _proportion(rs, deployment, to_add, added)
        sizes[meta.name(rs)] = replicas(rs) + share
        added += share
    if to_add and everyone:
        first = meta.name(everyone[0])
        sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _proportion(rs: Obj, deployment: Obj, to_add: int, added: int) -> int:
    if not replicas(rs) or not to_add or to_add == added:
        return 0
    if not replicas(deployment):
        share = -replicas(rs)
    else:
        before = _number(rs, MAXIMUM) or (deployment.get("status") or {}).get("replicas") or 0
        grown = replicas(rs) * (replicas(deployment) + max_surge(deployment)) / before if before else 0.0
        share = math.floor(grown + 0.5) - replicas(rs)
    rest = to_add - added
    return min(share, rest) if to_add > 0 else max(share, rest)


def active_or_latest(new: Obj | None, old: Sequence[Obj]) -> Obj | None:
    """The only active ReplicaSet, or the newest if none is active; None if several are."""
    running = active([*old, new])
    if len(running) > 1:
        return None
    if running:
        return running[0]
    return new if new is not None else (by_age(old)[-1] if old else None)


def is_saturated(deployment: Obj, new: Obj | None) -> bool:
    """Whether the new ReplicaSet has all the pods wanted, available."""
    wanted = replicas(deployment)
    return (
        new is not None
        and replicas(new) == wanted
        and _number(new, DESIRED) == wanted
        and status_count([new], "availableReplicas") == wanted
    )


def is_scaling_event(deployment: Obj, everyone: Iterable[Obj | None]) -> bool:
    """Whether spec.replicas changed since the ReplicaSets were sized."""
    return any(_number(rs, DESIRED) not in (None, replicas(deployment)) for rs in active(everyone))


def _number(rs: Obj, annotation: str) -> int | None:
    text = meta.annotations(rs).get(annotation, "")
    return int(text) if text.isdigit() else None


# -- annotations and history


def revision(obj: Obj) -> int:
    text = meta.annotations(obj).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def size_annotations(deployment: Obj) -> dict[str, str]:
    wanted = replicas(deployment)
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + max_surge(deployment))}


def new_annotations(deployment: Obj, present: dict[str, str], new_revision: int, *, exists: bool) -> dict[str, str]:
    """The annotations of the new ReplicaSet: the Deployment's, its revision, and the revisions it had before."""
    result = dict(present)
    result.update({name: text for name, text in meta.annotations(deployment).items() if name not in _NOT_COPIED})
    changed = result != present
    old = present.get(REVISION)
    if (int(old) if old and old.isdigit() else 0) < new_revision:
        result[REVISION] = str(new_revision)
        changed = True
        if old:
            result[HISTORY] = _longer_history(present.get(HISTORY, ""), old)
    if not exists:
        result.update(size_annotations(deployment))
    return result if changed or not exists else present


def _longer_history(history: str, old: str) -> str:
    """The history with one more revision, the oldest forgotten when it gets too long."""
    entries = [*filter(None, history.split(",")), old]
    while len(entries) > 1 and len(",".join(entries)) > _HISTORY_LENGTH:
        del entries[0]
    return ",".join(entries)


def outdated(deployment: Obj, old: Sequence[Obj]) -> list[Obj]:
    """Old ReplicaSets beyond the revision history limit that have no pods left."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == _NO_DEADLINE:
        return []
    alive = [rs for rs in old if not meta.deleting(rs)]
    excess = sorted(alive, key=lambda rs: (revision(rs), meta.created(rs)))[: max(0, len(alive) - limit)]
    return [
        rs
        for rs in excess
        if not status_count([rs], "replicas")
        and not replicas(rs)
        and meta.generation(rs) <= ((rs.get("status") or {}).get("observedGeneration") or 0)
    ]


# -- status


def deadline(deployment: Obj) -> int | None:
    """progressDeadlineSeconds, None when there is none."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == _NO_DEADLINE else int(seconds)


def make_condition(type_: str, status: str, reason: str, message: str, clock: Clock) -> Obj:
    now = times.now(clock)
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def put_condition(conditions: list[Obj], new: Obj) -> list[Obj]:
    """The conditions with `new`, unless one of the same status and reason is there."""
    current = meta.find_condition(conditions, new["type"])
    if current is not None and current["status"] == new["status"]:
        if current.get("reason") == new.get("reason"):
            return conditions
        new = {**new, "lastTransitionTime": current.get("lastTransitionTime", new["lastTransitionTime"])}
    return [*meta.without_condition(conditions, new["type"]), new]


def calculate_status(deployment: Obj, everyone: Sequence[Obj], new: Obj | None, clock: Clock) -> Obj:
    """The status as counted now, with the Available condition."""
    old = deployment.get("status") or {}
    available = status_count(everyone, "availableReplicas")
    counts = {
        "replicas": status_count(everyone, "replicas"),
        "updatedReplicas": status_count([new], "replicas"),
        "readyReplicas": status_count(everyone, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(everyone) - available),
    }
    status: Obj = {"observedGeneration": meta.generation(deployment)}
    status.update({name: count for name, count in counts.items() if count})
    status["terminatingReplicas"] = status_count(everyone, "terminatingReplicas")
    if old.get("collisionCount") is not None:
        status["collisionCount"] = old["collisionCount"]
    if available >= replicas(deployment) - max_unavailable(deployment):
        words = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        words = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = put_condition(list(old.get("conditions") or ()), make_condition("Available", *words, clock))
    return status


def rollout_status(deployment: Obj, everyone: Sequence[Obj], new: Obj | None, clock: Clock) -> Obj:
    """calculate_status() with progress judged: complete, progressing, or past its deadline."""
    status = calculate_status(deployment, everyone, new, clock)
    conditions = status["conditions"]
    current = meta.condition(deployment, "Progressing")
    if deadline(deployment) is None:
        conditions = meta.without_condition(conditions, "Progressing")
    complete = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == "NewReplicaSetAvailable"
    )
    if deadline(deployment) is not None and not complete:
        conditions = _judge_progress(deployment, status, conditions, current, new, clock)
    failure = _replica_failure(everyone, new)
    conditions = put_condition(conditions, failure) if failure else meta.without_condition(conditions, "ReplicaFailure")
    status["conditions"] = conditions
    return status


def _judge_progress(
    deployment: Obj, status: Obj, conditions: list[Obj], current: Obj | None, new: Obj | None, clock: Clock
) -> list[Obj]:
    subject = f'ReplicaSet "{meta.name(new)}"' if new is not None else f'Deployment "{meta.name(deployment)}"'
    if is_complete(deployment, status):
        words = ("True", "NewReplicaSetAvailable", f"{subject} has successfully progressed.")
        return put_condition(conditions, make_condition("Progressing", *words, clock))
    if is_progressing(deployment, status):
        words = ("True", "ReplicaSetUpdated", f"{subject} is progressing.")
        fresh = make_condition("Progressing", *words, clock)
        if current is not None and current["status"] == "True":
            fresh["lastTransitionTime"] = current.get("lastTransitionTime", fresh["lastTransitionTime"])
        # Progress of the same kind is noted again: the deadline counts from lastUpdateTime.
        return [*meta.without_condition(conditions, "Progressing"), fresh]
    if is_timed_out(deployment, status, clock):
        words = ("False", "ProgressDeadlineExceeded", f"{subject} has timed out progressing.")
        return put_condition(conditions, make_condition("Progressing", *words, clock))
    return conditions


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether all pods are of the new template and available, and the controller has seen the present spec."""
    wanted = replicas(deployment)
    return all(status.get(name, 0) == wanted for name in ("updatedReplicas", "replicas", "availableReplicas")) and int(
        status.get("observedGeneration") or 0
    ) >= meta.generation(deployment)


def is_progressing(deployment: Obj, status: Obj) -> bool:
    """Whether there are more new, fewer old, more ready or more available pods than before."""
    old = deployment.get("status") or {}

    def grown(name: str) -> bool:
        return (status.get(name) or 0) > (old.get(name) or 0)

    left = (status.get("replicas") or 0) - (status.get("updatedReplicas") or 0)
    left_before = (old.get("replicas") or 0) - (old.get("updatedReplicas") or 0)
    return grown("updatedReplicas") or left < left_before or grown("readyReplicas") or grown("availableReplicas")


def is_timed_out(deployment: Obj, status: Obj, clock: Clock) -> bool:
    found = meta.find_condition(status["conditions"], "Progressing")
    seconds = deadline(deployment)
    if found is None or seconds is None or found.get("reason") == "NewReplicaSetAvailable":
        return False
    if found.get("reason") == "ProgressDeadlineExceeded":
        return True
    return times.parse_time(found["lastUpdateTime"]) + seconds < clock.time()


def check_after(deployment: Obj, status: Obj, clock: Clock) -> float | None:
    """Seconds until the deadline must be looked at again; None when it need not."""
    current = meta.condition(deployment, "Progressing")
    seconds = deadline(deployment)
    if seconds is None or current is None or current.get("reason") == "ProgressDeadlineExceeded":
        return None
    if is_complete(deployment, status):
        return None
    return max(1.0, times.parse_time(current["lastUpdateTime"]) + seconds - clock.time() + 1)


def _replica_failure(everyone: Sequence[Obj], new: Obj | None) -> Obj | None:
    """A ReplicaSet's ReplicaFailure condition as the Deployment's; the new one's first."""
    for rs in [new, *everyone]:
        failure = meta.condition(rs, "ReplicaFailure") if rs is not None else None
        if failure is not None:
            moment = failure.get("lastTransitionTime")
            return {**failure, "lastUpdateTime": moment, "lastTransitionTime": moment}
    return None
