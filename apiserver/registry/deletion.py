"""When a deletion removes an object at once, and when it only marks it: grace periods, finalizers, propagation.

Pure: decides on a decoded object and DeleteOptions; registry/store.py writes. The rules are those of the original's
rest.BeforeDelete and of its generic store.
"""

from __future__ import annotations

from apimachinery import errors, times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apiserver.registry.kind import Kind, Obj

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


def check_preconditions(kind: Kind, metadata: Obj, options: Obj) -> None:
    """409 when DeleteOptions.preconditions name another uid or resourceVersion."""
    wanted = options.get("preconditions") or {}
    uid, revision = wanted.get("uid"), wanted.get("resourceVersion")
    if kind.words_preconditions:
        for name, value, found in (
            ("UID", uid, metadata.get("uid", "")),
            ("ResourceVersion", revision, metadata.get("resourceVersion", "")),
        ):
            if value is not None and value != found:
                text = f"Precondition failed: {name} in precondition: {value}, {name} in object meta: {found}"
                raise errors.conflict(kind.group, kind.plural, metadata["name"], text)
    if uid is not None and uid != metadata.get("uid", ""):
        raise _conflict(
            kind,
            metadata,
            f"the UID in the precondition ({uid}) does not match the UID in record ({metadata.get('uid', '')}). "
            "The object might have been deleted and then recreated",
        )
    if revision is not None and revision != metadata.get("resourceVersion", ""):
        raise _conflict(
            kind,
            metadata,
            f"the ResourceVersion in the precondition ({revision}) does not match the ResourceVersion in record "
            f"({metadata.get('resourceVersion', '')}). The object might have been modified",
        )


def _conflict(kind: Kind, metadata: Obj, text: str) -> ApiError:
    """The original names the kind here, where other conflicts name the plural."""
    return errors.conflict(kind.group, kind.kind, metadata["name"], text)


def before_delete(kind: Kind, obj: Obj, options: Obj, clock: Clock) -> tuple[bool, bool]:
    """(graceful, already pending): may set deletionTimestamp and grace period on obj, and a period in options.

    graceful: obj was marked and is to be written, not removed. pending: it was marked before and nothing changes.
    """
    metadata = obj["metadata"]
    check_preconditions(kind, metadata, options)
    if (options.get("gracePeriodSeconds") or 0) < 0:
        options["gracePeriodSeconds"] = 1
    if (metadata.get("deletionGracePeriodSeconds") or 0) < 0:
        metadata["deletionGracePeriodSeconds"] = 1
    if not kind.graceful:
        return False, False
    if metadata.get("deletionTimestamp"):
        return _again(metadata, options, clock)
    period = kind.grace_period(obj, options)
    if period is None:
        return False, False
    options["gracePeriodSeconds"] = period
    metadata["deletionTimestamp"] = times.format_time(clock.time() + period)
    metadata["deletionGracePeriodSeconds"] = period
    kind.mark_deleting(obj)
    if metadata.get("generation"):
        metadata["generation"] += 1
    return True, False


def _again(metadata: Obj, options: Obj, clock: Clock) -> tuple[bool, bool]:
    """A further deletion of an object that is on its way out: it may only shorten the grace period."""
    current = metadata.get("deletionGracePeriodSeconds")
    if not current:
        return False, False
    period = options.get("gracePeriodSeconds")
    if period is None:
        options["gracePeriodSeconds"] = current
        return False, True
    if period >= current:
        return False, True
    moment = times.parse_time(metadata["deletionTimestamp"]) - current + period
    now = clock.time()
    if moment < now:
        moment = now
        if period != 0:
            period = 1
    metadata["deletionTimestamp"] = times.format_time(moment)
    metadata["deletionGracePeriodSeconds"] = period
    return True, False


def finalizers_for_collector(kind: Kind, metadata: Obj, options: Obj) -> tuple[bool, list[str]]:
    """(changed, finalizers) after adding or removing what tells the garbage collector to orphan or to wait for dependents."""
    present: list[str] = metadata.get("finalizers") or []
    wanted = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    if _orphans(kind, present, options):
        wanted.append(ORPHAN)
    if _waits(present, options):
        wanted.append(FOREGROUND)
    if set(wanted) == set(present):
        return False, present
    return True, wanted


def _orphans(kind: Kind, present: list[str], options: Obj) -> bool:
    if options.get("orphanDependents") is not None:
        return bool(options["orphanDependents"])
    policy = options.get("propagationPolicy")
    if policy is not None:
        return bool(policy == "Orphan")
    for name in present:
        if name in (ORPHAN, FOREGROUND):
            return name == ORPHAN
    return kind.orphan_by_default


def _waits(present: list[str], options: Obj) -> bool:
    if options.get("orphanDependents") is not None:
        return False
    policy = options.get("propagationPolicy")
    if policy is not None:
        return bool(policy == "Foreground")
    for name in present:
        if name in (ORPHAN, FOREGROUND):
            return name == FOREGROUND
    return False


def mark(kind: Kind, obj: Obj, clock: Clock) -> None:
    """Mark an object that stays because of its finalizers or because its kind holds it."""
    metadata = obj["metadata"]
    now = clock.time()
    existing = metadata.get("deletionTimestamp")
    if not existing and kind.marked_barely:
        metadata["deletionTimestamp"] = times.format_time(now)
        kind.mark_deleting(obj)
        return
    if not existing:
        if metadata.get("generation"):
            metadata["generation"] += 1
        kind.mark_deleting(obj)
    if not existing or times.parse_time(existing) > now:
        metadata["deletionTimestamp"] = times.format_time(now)
    if not kind.held(obj):
        metadata["deletionGracePeriodSeconds"] = 0


def goes_with_update(kind: Kind, new: Obj, old: Obj) -> bool:
    """Whether an update removes the object: it was marked, no grace is left, and its last finalizer is gone."""
    old_metadata = old["metadata"]
    if new["metadata"].get("finalizers") or not old_metadata.get("deletionTimestamp"):
        return False
    return not old_metadata.get("deletionGracePeriodSeconds") and not kind.held(new)
