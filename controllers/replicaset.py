"""ReplicaSets and ReplicationControllers: as many pods as wanted, no more, no fewer.

One control loop for both kinds, which differ in their resource and in the form of their selector.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods, selectors, times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apimachinery.gvk import Resource
from apimachinery.selectors import LabelSelector
from client.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from controllers import ownership
from controllers.base import (
    EVENTS_RULE,
    Controller,
    Expectations,
    Result,
    Rule,
    gather_all,
    namespace_terminating,
    slow_start,
)
from controllers.podcontrol import PodControl, pod_from_template

Obj = dict[str, Any]

BURST = 500  # pods created or deleted in one go
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


# -- deciding: plain functions of what is seen


def count_replicas(owner: Obj, active: Sequence[Obj], terminating: int, now: float) -> Obj:
    """The counters of the status."""
    spec = owner["spec"]
    template = selectors.from_map((spec.get("template", {}).get("metadata") or {}).get("labels"))
    min_ready = spec.get("minReadySeconds") or 0
    ready = [pod for pod in active if pods.is_ready(pod)]
    return {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(template.matches(meta.labels(pod)) for pod in active),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in ready),
        "terminatingReplicas": terminating,
    }


def new_status(owner: Obj, counts: Obj, error: Exception | None, clock: Clock) -> Obj:
    """The status to have, with the ReplicaFailure condition set while pods cannot be created or deleted."""
    old = owner.get("status") or {}
    conditions = list(old.get("conditions") or ())
    failure = meta.find_condition(conditions, "ReplicaFailure")
    if error is not None and failure is None:
        short = counts["replicas"] < (owner["spec"].get("replicas") or 0)
        conditions.append(
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate" if short else "FailedDelete",
                "message": str(error),
                "lastTransitionTime": times.now(clock),
            }
        )
    elif error is None and failure is not None:
        conditions = meta.without_condition(conditions, "ReplicaFailure")
    status: Obj = {"replicas": counts["replicas"]}
    status.update({name: count for name, count in counts.items() if count or name == "terminatingReplicas"})
    if meta.generation(owner):
        status["observedGeneration"] = meta.generation(owner)
    if conditions:
        status["conditions"] = conditions
    return status


def same_status(old: Obj, new: Obj) -> bool:
    """Whether nothing would change; absent and zero counters are the same."""
    return {k: v for k, v in old.items() if v} == {k: v for k, v in new.items() if v}


def choose_victims(active: Sequence[Obj], related: Iterable[Obj], count: int, now: float) -> list[Obj]:
    """The pods to delete first: those least useful to users, then those that crowd a node, then the youngest."""
    if count >= len(active):
        return list(active)
    crowd = Counter(pod["spec"].get("nodeName") for pod in related if pods.is_active(pod))
    return sorted(active, key=lambda pod: _deletion_rank(pod, crowd, now))[:count]


_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def _deletion_rank(pod: Obj, crowd: Counter[str | None], now: float) -> tuple[Any, ...]:
    """The order of the original's ActivePodsWithRanks; ages count by their logarithm, so that not always the very
    youngest goes, and pods of like age go by uid."""
    node = pod["spec"].get("nodeName")
    ready = pods.is_ready(pod)
    since = pods.ready_since(pod)
    return (
        bool(node),
        _PHASES.get(pods.phase(pod), 0),
        ready,
        _cost(pod),
        -crowd[node] if node else 0,
        _magnitude(since, now) if ready else 0,
        -pods.restart_count(pod),
        _magnitude(meta.created(pod) or None, now),
        meta.uid(pod),
    )


def _cost(pod: Obj) -> int:
    text = meta.annotations(pod).get(DELETION_COST, "0")
    return int(text) if text.lstrip("-").isdigit() else 0


def _magnitude(moment: float | None, now: float) -> int:
    """The logarithm of an age; an unknown one counts as the youngest."""
    if moment is None:
        return -2
    age = now - moment
    return int(math.log2(age * 1e9)) if age > 0 else -1


# -- doing


class ReplicaSetController(Controller):
    name = "replicaset-controller"
    aliases = ("replicaset",)
    source = "replicaset-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("apps",), ("replicasets",), ("get", "list", "update", "watch")),
        Rule(("apps",), ("replicasets/status",), ("update",)),
        Rule(("apps",), ("replicasets/finalizers",), ("update",)),
        Rule(("",), ("pods",), ("create", "delete", "list", "patch", "watch")),
        EVENTS_RULE,
    )
    resource: ClassVar[Resource] = REPLICA_SETS

    def setup(self) -> None:
        self.workers = self.concurrency()
        self._expectations = Expectations(self.clock)
        self._pod_control = PodControl(self.client, self.recorder, self.resource)
        self._owners = self.watch(
            self.resource,
            added=self.enqueue_object,
            updated=self._owner_updated,
            deleted=self._owner_deleted,
            indexers={"controller-uid": controller_uid},
        )
        self._pods = self.watch(
            PODS, added=self._pod_added, updated=self._pod_updated, deleted=self._pod_deleted, indexers=POD_INDEXERS
        )

    def concurrency(self) -> int:
        return self.config.concurrent_replicaset_syncs

    def selector(self, owner: Obj) -> LabelSelector:
        return selectors.from_object(owner["spec"].get("selector"))

    # -- what wakes it

    def _owner_updated(self, old: Obj, new: Obj) -> None:
        self.enqueue_object(new)

    def _owner_deleted(self, owner: Obj) -> None:
        self._expectations.forget(meta.key(owner))
        self.enqueue_object(owner)

    def _owner_of(self, pod: Obj) -> Obj | None:
        """The cached owner that the pod's controller reference names."""
        reference = meta.controller_of(pod)
        if reference is None or reference["kind"] != self.resource.kind:
            return None
        owner = self._owners.find(meta.namespace(pod), reference["name"])
        return owner if owner is not None and meta.uid(owner) == reference["uid"] else None

    def _enqueue_matching(self, pod: Obj) -> None:
        """Wake everyone who might adopt an orphan."""
        labels = meta.labels(pod)
        for owner in self._owners.list(meta.namespace(pod)):
            selector = self.selector(owner)
            if not selector.empty and selector.matches(labels):
                self.enqueue_object(owner)

    def _pod_added(self, pod: Obj) -> None:
        if meta.deleting(pod):
            self._pod_deleted(pod)
            return
        if meta.controller_of(pod) is None:
            self._enqueue_matching(pod)
            return
        owner = self._owner_of(pod)
        if owner is not None:
            self._expectations.creation_observed(meta.key(owner))
            self.enqueue_object(owner)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if meta.deleting(new):
            # The deletion timestamp is when the pod stops counting, not its removal.
            self._pod_deleted(new)
            return
        before, now = meta.controller_of(old), meta.controller_of(new)
        if before != now and before is not None:
            former = self._owner_of(old)
            if former is not None:
                self.enqueue_object(former)
        if now is None:
            if before is not None or meta.labels(old) != meta.labels(new):
                self._enqueue_matching(new)
            return
        owner = self._owner_of(new)
        if owner is None:
            return
        self.enqueue_object(owner)
        min_ready = owner["spec"].get("minReadySeconds") or 0
        if min_ready and pods.is_ready(new) and not pods.is_ready(old):
            # Availability comes by time alone; a second more against skewed milliseconds.
            self.enqueue_after(meta.key(owner), min_ready + 1)

    def _pod_deleted(self, pod: Obj) -> None:
        owner = self._owner_of(pod)
        if owner is not None:
            self._expectations.deletion_observed(meta.key(owner), meta.key(pod))
            self.enqueue_object(owner)

    # -- the loop

    async def reconcile(self, key: str) -> Result | None:
        owner = self._owners.get(key)
        if owner is None:
            self._expectations.forget(key)
            return None
        may_act = self._expectations.satisfied(key)
        namespace = meta.namespace(owner)
        selector = self.selector(owner)
        everyone = {meta.key(pod): pod for pod in self._pods.by_index("controller-uid", meta.uid(owner))}
        for pod in self._pods.by_index("orphans", namespace):
            everyone.setdefault(meta.key(pod), pod)
        active = await self._claim(owner, selector, [pod for pod in everyone.values() if pods.is_active(pod)])
        terminating = sum(
            meta.deleting(pod) and not pods.is_terminal(pod) and meta.is_controlled_by(pod, owner)
            for pod in everyone.values()
        )
        error: Exception | None = None
        if may_act and not meta.deleting(owner):
            try:
                await self._manage(key, owner, active)
            except ApiError as failure:
                error = failure
        now = self.clock.time()
        counts = count_replicas(owner, active, terminating, now)
        await self._write_status(owner, new_status(owner, counts, error, self.clock))
        if error is not None:
            raise error
        min_ready = owner["spec"].get("minReadySeconds") or 0
        wanted = owner["spec"].get("replicas") or 0
        if min_ready and counts["readyReplicas"] == wanted != counts["availableReplicas"]:
            return Result(after=min_ready)
        return None

    async def _claim(self, owner: Obj, selector: LabelSelector, active: list[Obj]) -> list[Obj]:
        return await ownership.claim(
            self.client, active, resource=PODS, owner=owner, owner_resource=self.resource, selector=selector
        )

    async def _manage(self, key: str, owner: Obj, active: list[Obj]) -> None:
        """Create or delete until there are as many as wanted."""
        surplus = len(active) - (owner["spec"].get("replicas") or 0)
        if surplus < 0:
            await self._create(key, owner, min(-surplus, BURST))
        elif surplus > 0:
            victims = choose_victims(active, self._related(owner), min(surplus, BURST), self.clock.time())
            await self._delete(key, owner, victims)

    async def _create(self, key: str, owner: Obj, count: int) -> None:
        self._expectations.expect_creations(key, count)
        pod = pod_from_template(owner["spec"]["template"], owner, self.resource)

        async def create(number: int) -> None:
            try:
                await self._pod_control.create(owner, pod)
            except ApiError as error:
                # Where the namespace is going, every creation fails: nothing to retry for.
                if not namespace_terminating(error):
                    raise

        done, error = await slow_start(count, create)
        if done < count:
            self._expectations.creation_observed(key, count - done)
        if error is not None:
            raise error

    async def _delete(self, key: str, owner: Obj, victims: list[Obj]) -> None:
        self._expectations.expect_deletions(key, map(meta.key, victims))

        async def delete(pod: Obj) -> None:
            try:
                await self._pod_control.delete(owner, pod)
            except ApiError as error:
                self._expectations.deletion_observed(key, meta.key(pod))
                if error.reason != "NotFound":
                    raise

        await gather_all(delete(pod) for pod in victims)

    def _related(self, owner: Obj) -> list[Obj]:
        """Pods of all ReplicaSets of the same Deployment: a node that runs many of them can spare one."""
        reference = meta.controller_of(owner)
        if reference is None:
            return self._pods.by_index("controller-uid", meta.uid(owner))
        siblings = self._owners.by_index("controller-uid", reference["uid"])
        return [pod for sibling in siblings for pod in self._pods.by_index("controller-uid", meta.uid(sibling))]

    async def _write_status(self, owner: Obj, status: Obj) -> None:
        """Write the status if it changed; once again from a fresh copy after a conflict."""
        if same_status(owner.get("status") or {}, status):
            return
        try:
            await self.client.update(self.resource, {**owner, "status": status}, subresource="status")
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            fresh = await self.client.get(self.resource, meta.name(owner), meta.namespace(owner))
            if meta.uid(fresh) == meta.uid(owner):
                await self.client.update(self.resource, {**fresh, "status": status}, subresource="status")


class ReplicationController(ReplicaSetController):
    name = "replicationcontroller-controller"
    aliases = ("replicationcontroller",)
    source = "replication-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("replicationcontrollers",), ("get", "list", "update", "watch")),
        Rule(("",), ("replicationcontrollers/status",), ("update",)),
        Rule(("",), ("replicationcontrollers/finalizers",), ("update",)),
        Rule(("",), ("pods",), ("create", "delete", "list", "patch", "watch")),
        EVENTS_RULE,
    )
    resource: ClassVar[Resource] = REPLICATION_CONTROLLERS

    def concurrency(self) -> int:
        return self.config.concurrent_rc_syncs

    def selector(self, owner: Obj) -> LabelSelector:
        return selectors.from_map(owner["spec"].get("selector"))

    async def _write_status(self, owner: Obj, status: Obj) -> None:
        # ReplicationController's status has no such counter.
        status.pop("terminatingReplicas", None)
        await super()._write_status(owner, status)


def controller_uid(obj: Obj) -> list[str]:
    """Index: by the uid of the object's controller."""
    reference = meta.controller_of(obj)
    return [reference["uid"]] if reference else []


def orphan_namespace(obj: Obj) -> list[str]:
    """Index: objects without a controller, by namespace."""
    return [] if meta.controller_of(obj) else [meta.namespace(obj)]


POD_INDEXERS = {"controller-uid": controller_uid, "orphans": orphan_namespace}
