"""Deployments: rolls ReplicaSets over from one pod template to the next.

Reconciling reads the Deployment's ReplicaSets, decides by the arithmetic of rollout.py, and writes ReplicaSets and the
Deployment's status. Rolling back is done by clients, who put an old template back (kubectl rollout undo).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta, selectors
from apimachinery.errors import ApiError
from client.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from controllers import ownership, rollout
from controllers.base import (
    EVENTS_RULE,
    Controller,
    Result,
    Rule,
    copy,
    ignoring_absence,
    namespace_terminating,
)
from controllers.replicaset import POD_INDEXERS, controller_uid, orphan_namespace

Obj = dict[str, Any]


class DeploymentController(Controller):
    name = "deployment-controller"
    aliases = ("deployment",)
    source = "deployment-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("apps",), ("deployments",), ("get", "list", "update", "watch")),
        Rule(("apps",), ("deployments/status",), ("update",)),
        Rule(("apps",), ("deployments/finalizers",), ("update",)),
        Rule(("apps",), ("replicasets",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        Rule(("",), ("pods",), ("get", "list", "update", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self.workers = self.config.concurrent_deployment_syncs
        self._deployments = self.watch_own(DEPLOYMENTS)
        self._replica_sets = self.watch(
            REPLICA_SETS,
            added=self._rs_changed,
            updated=self._rs_updated,
            deleted=self._rs_changed,
            indexers={"controller-uid": controller_uid, "orphans": orphan_namespace},
        )
        self._pods = self.watch(PODS, deleted=self._pod_deleted, indexers=POD_INDEXERS)

    # -- what wakes it

    def _owner_of(self, obj: Obj, kind: str = "Deployment") -> Obj | None:
        reference = meta.controller_of(obj)
        if reference is None or reference["kind"] != kind:
            return None
        cache = self._deployments if kind == "Deployment" else self._replica_sets
        owner = cache.find(meta.namespace(obj), reference["name"])
        return owner if owner is not None and meta.uid(owner) == reference["uid"] else None

    def _rs_changed(self, rs: Obj) -> None:
        owner = self._owner_of(rs)
        if owner is not None:
            self.enqueue_object(owner)
        elif meta.controller_of(rs) is None and not meta.deleting(rs):
            labels = meta.labels(rs)
            for deployment in self._deployments.list(meta.namespace(rs)):
                selector = selectors.from_object(deployment["spec"].get("selector"))
                if not selector.empty and selector.matches(labels):
                    self.enqueue_object(deployment)

    def _rs_updated(self, old: Obj, new: Obj) -> None:
        if meta.controller_of(old) != meta.controller_of(new):
            former = self._owner_of(old)
            if former is not None:
                self.enqueue_object(former)
        self._rs_changed(new)

    def _pod_deleted(self, pod: Obj) -> None:
        """Recreate waits until the last old pod is gone."""
        rs = self._owner_of(pod, "ReplicaSet")
        deployment = self._owner_of(rs) if rs is not None else None
        if deployment is not None and not rollout.is_rolling(deployment):
            self.enqueue_object(deployment)

    # -- the loop

    async def reconcile(self, key: str) -> Result | None:
        cached = self._deployments.get(key)
        if cached is None:
            return None
        deployment = copy(cached)
        if not deployment["spec"].get("selector"):
            await self._refuse(deployment)
            return None
        replica_sets = await self._claim(deployment)
        sync = _Sync(self, deployment, replica_sets)
        if meta.deleting(deployment):
            await sync.revise(create=False)
            return await sync.write_plain_status()
        await sync.note_pause()
        if deployment["spec"].get("paused"):
            return await sync.scale()
        await sync.revise(create=False)
        if rollout.is_scaling_event(deployment, sync.everyone):
            return await sync.scale()
        return await (sync.roll() if rollout.is_rolling(deployment) else sync.recreate())

    async def _refuse(self, deployment: Obj) -> None:
        text = "This deployment is selecting all pods. A non-empty selector is required."
        self.recorder.event(deployment, "Warning", "SelectingAll", text)
        status = deployment.get("status") or {}
        if (status.get("observedGeneration") or 0) < meta.generation(deployment):
            deployment["status"] = {**status, "observedGeneration": meta.generation(deployment)}
            await self.client.update(DEPLOYMENTS, deployment, subresource="status")

    async def _claim(self, deployment: Obj) -> list[Obj]:
        owned = self._replica_sets.by_index("controller-uid", meta.uid(deployment))
        orphans = self._replica_sets.by_index("orphans", meta.namespace(deployment))
        return await ownership.claim(
            self.client,
            [*owned, *orphans],
            resource=REPLICA_SETS,
            owner=deployment,
            owner_resource=DEPLOYMENTS,
            selector=selectors.from_object(deployment["spec"]["selector"]),
        )

    def pods_of(self, rs: Obj) -> list[Obj]:
        return self._pods.by_index("controller-uid", meta.uid(rs))

    def cached_replica_set(self, namespace: str, name: str) -> Obj | None:
        return self._replica_sets.find(namespace, name)


class _Sync:
    """One reconciliation of one Deployment: our copy of it, its ReplicaSets, and the steps."""

    def __init__(self, controller: DeploymentController, deployment: Obj, replica_sets: list[Obj]) -> None:
        self.controller = controller
        self.client = controller.client
        self.clock = controller.clock
        self.deployment = deployment
        self.replica_sets = replica_sets
        self.new: Obj | None = None
        self.old: list[Obj] = []

    @property
    def everyone(self) -> list[Obj]:
        return [*self.old, self.new] if self.new is not None else list(self.old)

    def _event(self, type_: str, reason: str, message: str) -> None:
        self.controller.recorder.event(self.deployment, type_, reason, message)

    # -- status

    async def _put_status(self) -> None:
        """Write our copy's status and annotations, and go on with what the server made of it."""
        self.deployment = await self.client.update(DEPLOYMENTS, self.deployment, subresource="status")

    def _set_condition(self, status: str, reason: str, message: str) -> None:
        new = rollout.make_condition("Progressing", status, reason, message, self.clock)
        current = self.deployment.setdefault("status", {})
        current["conditions"] = rollout.put_condition(list(current.get("conditions") or ()), new)

    async def note_pause(self) -> None:
        """Keep a pause from counting as lack of progress."""
        if rollout.deadline(self.deployment) is None:
            return
        current = meta.condition(self.deployment, "Progressing")
        reason = current.get("reason") if current else None
        if reason == "ProgressDeadlineExceeded":
            return
        paused = bool(self.deployment["spec"].get("paused"))
        if paused == (reason == "DeploymentPaused"):
            return
        if paused:
            self._set_condition("Unknown", "DeploymentPaused", "Deployment is paused")
        else:
            self._set_condition("Unknown", "DeploymentResumed", "Deployment is resumed")
        await self._put_status()

    async def write_plain_status(self) -> Result | None:
        status = rollout.calculate_status(self.deployment, self.everyone, self.new, self.clock)
        if _normal(status) != _normal(self.deployment.get("status") or {}):
            self.deployment["status"] = status
            await self._put_status()
        return None

    async def write_rollout_status(self) -> Result | None:
        status = rollout.rollout_status(self.deployment, self.everyone, self.new, self.clock)
        if _normal(status) == _normal(self.deployment.get("status") or {}):
            after = rollout.check_after(self.deployment, status, self.clock)
            return Result(after=after) if after is not None else None
        self.deployment["status"] = status
        await self._put_status()
        return None

    # -- ReplicaSets

    async def revise(self, *, create: bool) -> None:
        """Find the new ReplicaSet, with its revision up to date; create it if it is missing and wanted."""
        new = rollout.find_new(self.deployment, self.replica_sets)
        self.old = [rs for rs in self.replica_sets if new is None or meta.uid(rs) != meta.uid(new)]
        revision = max(map(rollout.revision, self.old), default=0) + 1
        if new is not None:
            self.new = await self._update_new(new, revision)
        elif create:
            self.new = await self._create_new(revision)
            self.replica_sets = [*self.replica_sets, self.new]

    async def _update_new(self, new: Obj, revision: int) -> Obj:
        present = meta.annotations(new)
        wanted = rollout.new_annotations(self.deployment, present, revision, exists=True)
        min_ready = self.deployment["spec"].get("minReadySeconds") or 0
        if wanted != present or (new["spec"].get("minReadySeconds") or 0) != min_ready:
            changed = {**new, "metadata": {**new["metadata"], "annotations": wanted}}
            changed["spec"] = {**new["spec"], "minReadySeconds": min_ready}
            updated = await self.client.update(REPLICA_SETS, changed)
            self._replace(updated)
            return updated
        write = self._set_revision(meta.annotations(new).get(rollout.REVISION, ""))
        if rollout.deadline(self.deployment) is not None and meta.condition(self.deployment, "Progressing") is None:
            self._set_condition("True", "FoundNewReplicaSet", f'Found new replica set "{meta.name(new)}"')
            write = True
        if write:
            await self._put_status()
        return new

    def _set_revision(self, revision: str) -> bool:
        """Copy the revision to the Deployment; whether that changes it."""
        annotations = self.deployment["metadata"].setdefault("annotations", {})
        if annotations.get(rollout.REVISION) == revision:
            return False
        annotations[rollout.REVISION] = revision
        return True

    async def _create_new(self, revision: int) -> Obj:
        wanted = self._describe_new(revision)
        name, namespace = meta.name(wanted), meta.namespace(wanted)
        fresh = True
        try:
            created = await self.client.create(REPLICA_SETS, wanted)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                created = await self._existing(namespace, name, error)
                fresh = False
            elif namespace_terminating(error):
                raise
            else:
                await self._creation_failed(name, error)
                raise
        if fresh and rollout.replicas(wanted):
            text = f"Scaled up replica set {name} from 0 to {rollout.replicas(wanted)}"
            self._event("Normal", "ScalingReplicaSet", text)
        write = self._set_revision(str(revision))
        if fresh and rollout.deadline(self.deployment) is not None:
            self._set_condition("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
            write = True
        if write:
            await self._put_status()
        return created

    def _describe_new(self, revision: int) -> Obj:
        """The ReplicaSet of the present template, named by its hash so that creating it twice is impossible."""
        spec = self.deployment["spec"]
        collisions = (self.deployment.get("status") or {}).get("collisionCount") or 0
        digest = rollout.template_hash(spec["template"], collisions)
        template = copy(spec["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[rollout.HASH_LABEL] = digest
        selector = copy(spec["selector"])
        selector.setdefault("matchLabels", {})[rollout.HASH_LABEL] = digest
        new: Obj = {
            "metadata": {
                "name": f"{meta.name(self.deployment)}-{digest}",
                "namespace": meta.namespace(self.deployment),
                "labels": template["metadata"]["labels"],
                "ownerReferences": [meta.controller_ref(self.deployment, DEPLOYMENTS)],
                "annotations": rollout.new_annotations(self.deployment, {}, revision, exists=False),
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": spec.get("minReadySeconds") or 0,
                "selector": selector,
                "template": template,
            },
        }
        new["spec"]["replicas"] = rollout.new_replicas(self.deployment, [*self.old, new], new)
        return new

    async def _existing(self, namespace: str, name: str, error: ApiError) -> Obj:
        """The ReplicaSet that has the name already, if it is ours and of this template: our cache was behind. Anything
        else is a collision of hashes; counting it gives the next attempt another name."""
        found = self.controller.cached_replica_set(namespace, name)
        if found is None:
            found = await self.client.get(REPLICA_SETS, name, namespace)
        template = self.deployment["spec"]["template"]
        if meta.is_controlled_by(found, self.deployment) and rollout.same_template(found["spec"]["template"], template):
            return found
        status = self.deployment.setdefault("status", {})
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        await self._put_status()
        raise error

    async def _creation_failed(self, name: str, error: ApiError) -> None:
        text = f'Failed to create new replica set "{name}": {error}'
        if rollout.deadline(self.deployment) is not None:
            self._set_condition("False", "ReplicaSetCreateError", text)
            try:
                await self._put_status()
            except ApiError:
                # The creation's error is the one to report; the status is written at the next attempt.
                pass
        self._event("Warning", "ReplicaSetCreateError", text)

    def _replace(self, updated: Obj) -> None:
        """Go on with a ReplicaSet as the server has it now."""
        uid = meta.uid(updated)
        self.replica_sets = [updated if meta.uid(rs) == uid else rs for rs in self.replica_sets]
        self.old = [updated if meta.uid(rs) == uid else rs for rs in self.old]
        if self.new is not None and meta.uid(self.new) == uid:
            self.new = updated

    async def _resize(self, rs: Obj, size: int) -> bool:
        """Give a ReplicaSet its size, noting the Deployment's; whether the size changed."""
        before = rollout.replicas(rs)
        annotations = {**meta.annotations(rs), **rollout.size_annotations(self.deployment)}
        if before == size and annotations == meta.annotations(rs):
            return False
        changed = {
            **rs,
            "metadata": {**rs["metadata"], "annotations": annotations},
            "spec": {**rs["spec"], "replicas": size},
        }
        self._replace(await self.client.update(REPLICA_SETS, changed))
        if before == size:
            return False
        direction = "up" if before < size else "down"
        self._event(
            "Normal", "ScalingReplicaSet", f"Scaled {direction} replica set {meta.name(rs)} from {before} to {size}"
        )
        return True

    async def _resize_all(self, sizes: dict[str, int]) -> bool:
        changed = False
        for name, size in sizes.items():
            rs = next(rs for rs in self.everyone if meta.name(rs) == name)
            changed = await self._resize(rs, size) or changed
        return changed

    async def _clean_up(self) -> None:
        """Forget revisions beyond the limit."""
        for rs in rollout.outdated(self.deployment, self.old):
            await ignoring_absence(self.client.delete(REPLICA_SETS, meta.name(rs), meta.namespace(rs)))

    # -- the ways to go

    async def scale(self) -> Result | None:
        """After a change of size, or while paused: size what is there, start nothing new."""
        await self.revise(create=False)
        await self._resize_all(rollout.scale_plan(self.deployment, self.new, self.old))
        if self.deployment["spec"].get("paused"):
            await self._clean_up()
        return await self.write_plain_status()

    async def roll(self) -> Result | None:
        """RollingUpdate: grow the new within the surge, shrink the old within what may be unavailable."""
        await self.revise(create=True)
        assert self.new is not None
        wanted = rollout.replicas(self.deployment)
        size = rollout.replicas(self.new)
        if size != wanted:
            target = wanted if size > wanted else rollout.new_replicas(self.deployment, self.everyone, self.new)
            if await self._resize(self.new, target):
                return await self.write_rollout_status()
        if await self._resize_all(rollout.scale_down_old(self.deployment, self.old, self.new)):
            return await self.write_rollout_status()
        if rollout.is_complete(self.deployment, self.deployment.get("status") or {}):
            await self._clean_up()
        return await self.write_rollout_status()

    async def recreate(self) -> Result | None:
        """Recreate: first all old pods go, then the new ones come."""
        await self.revise(create=False)
        if await self._resize_all({meta.name(rs): 0 for rs in rollout.active(self.old)}):
            return await self.write_rollout_status()
        if self._old_pods_run():
            return await self.write_rollout_status()
        await self.revise(create=True)
        assert self.new is not None
        await self._resize(self.new, rollout.replicas(self.deployment))
        if rollout.is_complete(self.deployment, self.deployment.get("status") or {}):
            await self._clean_up()
        return await self.write_rollout_status()

    def _old_pods_run(self) -> bool:
        if rollout.status_count(self.old, "replicas"):
            return True
        old_pods = [pod for rs in self.old for pod in self.controller.pods_of(rs)]
        return any((pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") for pod in old_pods)


def _normal(status: Obj) -> Obj:
    """A status to compare: counters that are zero are not written."""
    return {name: value for name, value in status.items() if value or name == "terminatingReplicas"}
