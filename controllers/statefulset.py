"""StatefulSets: pods with names and volumes that last, created and deleted in order. The reckoning is in statefulplan.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta, pods, selectors
from apimachinery.errors import ApiError
from client.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from controllers import history, ownership, statefulplan
from controllers.base import (
    EVENTS_RULE,
    Controller,
    Result,
    Retry,
    Rule,
    copy,
    gather_all,
    ignoring_absence,
    namespace_terminating,
)
from controllers.replicaset import POD_INDEXERS, controller_uid, orphan_namespace, same_status
from controllers.statefulplan import Plan, Revisions

Obj = dict[str, Any]

HASH = "controller.kubernetes.io/hash"


class StatefulSetController(Controller):
    name = "statefulset-controller"
    aliases = ("statefulset",)
    source = "statefulset-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("pods",), ("list", "watch")),
        Rule(("apps",), ("statefulsets",), ("get", "list", "watch")),
        Rule(("apps",), ("statefulsets/status",), ("update",)),
        Rule(("apps",), ("statefulsets/finalizers",), ("update",)),
        Rule(("",), ("pods",), ("create", "delete", "get", "patch", "update")),
        Rule(("apps",), ("controllerrevisions",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        Rule(("",), ("persistentvolumeclaims",), ("create", "get", "list", "update", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_statefulset_syncs
        self._written: dict[str, dict[str, str]] = {}
        self._sets = self.watch_own(STATEFUL_SETS)
        self._revisions = self.watch(
            CONTROLLER_REVISIONS, indexers={"controller-uid": controller_uid, "orphans": orphan_namespace}
        )
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIMS)
        self._pods = self.watch(
            PODS,
            added=self._pod_changed,
            updated=self._pod_updated,
            deleted=self._pod_changed,
            indexers=POD_INDEXERS,
        )

    # -- what wakes it

    def _pod_changed(self, pod: Obj) -> None:
        reference = meta.controller_of(pod)
        if reference is not None:
            if reference["kind"] == "StatefulSet":
                self.enqueue(meta.join_key(meta.namespace(pod), reference["name"]))
            return
        for candidate in self._sets.list(meta.namespace(pod)):
            selector = selectors.from_object(candidate["spec"].get("selector"))
            if not selector.empty and selector.matches(meta.labels(pod)):
                self.enqueue_object(candidate)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if meta.controller_of(old) != meta.controller_of(new):
            self._pod_changed(old)
        self._pod_changed(new)
        reference = meta.controller_of(new)
        if (
            reference is not None
            and reference["kind"] == "StatefulSet"
            and not pods.is_ready(old)
            and pods.is_ready(new)
        ):
            key = meta.join_key(meta.namespace(new), reference["name"])
            min_ready = ((self._sets.get(key) or {}).get("spec") or {}).get("minReadySeconds") or 0
            if min_ready:
                self.enqueue_after(key, min_ready + 1)

    # -- the loop

    async def reconcile(self, key: str) -> Result | None:
        stateful_set = self._sets.get(key)
        if stateful_set is None:
            self._written.pop(key, None)
            return None
        selector = selectors.from_object(stateful_set["spec"].get("selector"))
        owned = await self._claim(stateful_set, selector)
        self._check_fresh(key, owned)
        known = await self._known_revisions(stateful_set, selector)
        stateful_set, current, update = await self._revise(stateful_set, known)
        revisions = Revisions(meta.name(current), meta.name(update))
        now = self.clock.time()
        if not meta.deleting(stateful_set):
            templates = {meta.name(entry): _template_of(entry) for entry in (current, update)}
            await self._act(key, stateful_set, statefulplan.plan(stateful_set, owned, revisions, now), templates)
            await self._keep_or_drop_claims(stateful_set, owned)
        await self._write_status(stateful_set, statefulplan.count(stateful_set, owned, revisions, now))
        live = {*(statefulplan.revision_of(pod) for pod in owned), revisions.current, revisions.update}
        limit = stateful_set["spec"].get("revisionHistoryLimit", 10)
        await history.truncate(self.client, known, live, limit)
        return None

    def _check_fresh(self, key: str, owned: Sequence[Obj]) -> None:
        """Wait until the cache shows the pods that were created and deleted last: order matters here."""
        seen = {meta.name(pod): pod for pod in owned}
        for name, uid in list(self._written.get(key, {}).items()):
            pod = seen.get(name)
            if uid.startswith("-"):
                done = pod is None or meta.deleting(pod) or meta.uid(pod) != uid[1:]
            else:
                done = pod is not None or self._pods.find(meta.split_key(key)[0], name) is not None
            if done:
                del self._written[key][name]
        if self._written.get(key):
            raise Retry("the pod cache is behind")

    async def _claim(self, stateful_set: Obj, selector: selectors.LabelSelector) -> list[Obj]:
        orphans = [
            pod
            for pod in self._pods.by_index("orphans", meta.namespace(stateful_set))
            if statefulplan.ordinal(stateful_set, pod) is not None
        ]
        return await ownership.claim(
            self.client,
            [*self._pods.by_index("controller-uid", meta.uid(stateful_set)), *orphans],
            resource=PODS,
            owner=stateful_set,
            owner_resource=STATEFUL_SETS,
            selector=selector,
        )

    # -- revisions

    async def _known_revisions(self, stateful_set: Obj, selector: selectors.LabelSelector) -> list[Obj]:
        return await ownership.claim(
            self.client,
            [
                *self._revisions.by_index("controller-uid", meta.uid(stateful_set)),
                *self._revisions.by_index("orphans", meta.namespace(stateful_set)),
            ],
            resource=CONTROLLER_REVISIONS,
            owner=stateful_set,
            owner_resource=STATEFUL_SETS,
            selector=selector,
        )

    async def _revise(self, stateful_set: Obj, known: list[Obj]) -> tuple[Obj, Obj, Obj]:
        """(the set, the revision it comes from, the one it goes to)."""
        data = history.template_patch(stateful_set)
        status = stateful_set.get("status") or {}
        equal = history.by_revision(entry for entry in known if entry.get("data") == data)
        number = history.next_revision([entry for entry in known if entry.get("data") != data])
        if equal:
            update = equal[-1]
            if (update.get("revision") or 0) < number:
                update = await history.renumber(self.client, update, number)
        else:
            collisions = status.get("collisionCount") or 0
            wanted = history.describe(
                stateful_set, STATEFUL_SETS, revision=number, collisions=collisions, hash_label=HASH
            )
            try:
                update = await history.create(self.client, wanted)
            except history.Collision as collision:
                changed = {**stateful_set, "status": {**status, "collisionCount": collisions + 1}}
                await self.client.update(STATEFUL_SETS, changed, subresource="status")
                raise Retry(f"found a hash collision: {collision}") from None
        name = status.get("currentRevision")
        current = next((entry for entry in known if meta.name(entry) == name), update)
        return stateful_set, current, update

    # -- pods

    async def _act(self, key: str, stateful_set: Obj, plan: Plan, templates: dict[str, Obj]) -> None:
        for pod in plan.settle:
            number = statefulplan.ordinal(stateful_set, pod)
            if number is not None:
                await self._make_claims(stateful_set, meta.name(pod), number)
        for pod in plan.fix:
            number = statefulplan.ordinal(stateful_set, pod)
            if number is not None:
                await self.client.update(PODS, statefulplan.identify(stateful_set, pod, number))
        for pod in plan.recreate:
            failed = pods.phase(pod) == "Failed"
            text = f"StatefulSet {key} is recreating {'failed' if failed else 'terminated'} Pod {meta.name(pod)}"
            self.recorder.event(
                stateful_set, "Warning", "RecreatingFailedPod" if failed else "RecreatingTerminatedPod", text
            )
        await gather_all(
            self._create(key, stateful_set, number, revision, templates) for number, revision in plan.create
        )
        await gather_all(self._delete(key, stateful_set, pod) for pod in [*plan.recreate, *plan.delete])

    async def _create(self, key: str, stateful_set: Obj, number: int, revision: str, templates: dict[str, Obj]) -> None:
        pod = statefulplan.make_pod(stateful_set, templates[revision], revision, number)
        name = meta.name(pod)
        await self._make_claims(stateful_set, name, number)
        what = f"create Pod {name} in StatefulSet {meta.name(stateful_set)}"
        try:
            created = await self.client.create(PODS, pod)
        except ApiError as error:
            if namespace_terminating(error) or error.reason == "AlreadyExists":
                return
            text = f"{what} failed error: {error}"
            self.recorder.event(stateful_set, "Warning", "FailedCreate", text)
            raise
        self._written.setdefault(key, {})[name] = meta.uid(created)
        self.recorder.event(stateful_set, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _delete(self, key: str, stateful_set: Obj, pod: Obj) -> None:
        name = meta.name(pod)
        what = f"delete Pod {name} in StatefulSet {meta.name(stateful_set)}"
        try:
            await ignoring_absence(self.client.delete(PODS, name, meta.namespace(pod), uid=meta.uid(pod)))
        except ApiError as error:
            self.recorder.event(stateful_set, "Warning", "FailedDelete", f"{what} failed error: {error}")
            raise
        self._written.setdefault(key, {})[name] = "-" + meta.uid(pod)
        self.recorder.event(stateful_set, "Normal", "SuccessfulDelete", f"{what} successful")

    # -- volumes

    async def _make_claims(self, stateful_set: Obj, pod: str, number: int) -> None:
        """Create the claims that are missing; one that is going must be gone first."""
        for claim in statefulplan.claims_of(stateful_set, number):
            name = meta.name(claim)
            present = self._claims.find(meta.namespace(stateful_set), name)
            if present is not None:
                if meta.deleting(present):
                    raise Retry(f"pvc {name} is being deleted")
                continue
            owner = meta.name(stateful_set)
            try:
                await self.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except ApiError as error:
                if error.reason == "AlreadyExists" or namespace_terminating(error):
                    continue
                text = f"create Claim {name} for Pod {pod} in StatefulSet {owner} failed error: {error}"
                self.recorder.event(stateful_set, "Warning", "FailedCreate", text)
                raise
            text = f"create Claim {name} Pod {pod} in StatefulSet {owner} success"
            self.recorder.event(stateful_set, "Normal", "SuccessfulCreate", text)

    async def _keep_or_drop_claims(self, stateful_set: Obj, owned: Sequence[Obj]) -> None:
        """Tie claims to the set or to a pod that is to go, so that they go with it where the policy says so."""
        policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if not stateful_set["spec"].get("volumeClaimTemplates"):
            return
        with_set = policy.get("whenDeleted") == "Delete"
        with_pod = policy.get("whenScaled") == "Delete"
        wanted = statefulplan.wanted_ordinals(stateful_set)
        for pod in owned:
            number = statefulplan.ordinal(stateful_set, pod)
            if number is None:
                continue
            owners = []
            if with_pod and number not in wanted:
                owners.append({"apiVersion": "v1", "kind": "Pod", "name": meta.name(pod), "uid": meta.uid(pod)})
            elif with_set:
                owners.append(meta.controller_ref(stateful_set, STATEFUL_SETS))
            mine = {meta.uid(stateful_set), meta.uid(pod)}
            for claim in statefulplan.claims_of(stateful_set, number):
                present = self._claims.find(meta.namespace(stateful_set), meta.name(claim))
                if present is None:
                    continue
                others = [reference for reference in meta.owners(present) if reference["uid"] not in mine]
                if meta.owners(present) != [*others, *owners]:
                    changed = copy(present)
                    changed["metadata"]["ownerReferences"] = [*others, *owners]
                    await self.client.update(PERSISTENT_VOLUME_CLAIMS, changed)

    async def _write_status(self, stateful_set: Obj, status: Obj) -> None:
        old = stateful_set.get("status") or {}
        for name in ("collisionCount", "conditions"):
            if old.get(name):
                status[name] = old[name]
        if not same_status(old, status):
            await self.client.update(STATEFUL_SETS, {**stateful_set, "status": status}, subresource="status")


def _template_of(revision: Obj) -> Obj:
    """The pod template that a revision keeps."""
    template = dict(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template
