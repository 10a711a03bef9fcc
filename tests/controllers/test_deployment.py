from typing import Any

from apimachinery import meta
from client.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from controllers import rollout
from controllers.deployment import DeploymentController
from controllers.replicaset import ReplicaSetController
from tests.controllers.harness import Harness, template

Obj = dict[str, Any]


def deployment(replicas: int, image: str = "one", **spec: Any) -> Obj:
    described = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "a"}},
        "template": template("a", image),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10,
        **spec,
    }
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": described}


def status(harness: Harness) -> Obj:
    found = harness.get(DEPLOYMENTS, "web")
    return (found or {}).get("status") or {}


def complete(harness: Harness, replicas: int) -> bool:
    """What `kubectl rollout status` waits for."""
    found = harness.get(DEPLOYMENTS, "web") or {}
    now = status(harness)
    progressing = meta.condition(found, "Progressing") or {}
    counters = [now.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")]
    fresh = now.get("observedGeneration") == found["metadata"]["generation"]
    return fresh and counters == [replicas] * 4 and progressing.get("reason") == "NewReplicaSetAvailable"


def image_of(rs: Obj) -> str:
    return str(rs["spec"]["template"]["spec"]["containers"][0]["image"])


async def change_image(harness: Harness, image: str) -> None:
    await harness.client.patch(DEPLOYMENTS, "web", {"spec": {"template": template("a", image)}}, "default")


async def test_roll_out_roll_over_and_roll_back(harness: Harness) -> None:
    harness.start(DeploymentController, ReplicaSetController)
    await harness.client.create(DEPLOYMENTS, deployment(4))
    await harness.until(lambda: complete(harness, 4))
    (first,) = harness.all(REPLICA_SETS)
    digest = meta.labels(first)[rollout.HASH_LABEL]
    assert meta.name(first) == f"web-{digest}"
    assert first["spec"]["selector"]["matchLabels"] == {"app": "a", rollout.HASH_LABEL: digest}
    assert harness.events("ScalingReplicaSet") == [f"Scaled up replica set web-{digest} from 0 to 4"]

    await change_image(harness, "two")
    await harness.until(lambda: len(harness.all(REPLICA_SETS)) == 2 and complete(harness, 4))
    sizes = {image_of(rs): rs["spec"]["replicas"] for rs in harness.all(REPLICA_SETS)}
    assert sizes == {"one": 0, "two": 4}
    await harness.until(lambda: len(harness.all(PODS)) == 4)

    await change_image(harness, "one")  # what kubectl rollout undo does
    await harness.until(
        lambda: image_of(harness.all(REPLICA_SETS)[0]) and complete(harness, 4) and _size(harness, "two") == 0
    )
    again = harness.get(REPLICA_SETS, meta.name(first)) or {}
    assert meta.annotations(again)[rollout.REVISION] == "3"
    assert meta.annotations(again)[rollout.HISTORY] == "1"
    assert meta.annotations(harness.get(DEPLOYMENTS, "web") or {})[rollout.REVISION] == "3"


def _size(harness: Harness, image: str) -> int:
    return sum(rs["spec"]["replicas"] for rs in harness.all(REPLICA_SETS) if image_of(rs) == image)


async def test_a_broken_rollout_keeps_the_old_pods(harness: Harness) -> None:
    harness.start(DeploymentController, ReplicaSetController)
    await harness.client.create(DEPLOYMENTS, deployment(4))
    await harness.until(lambda: complete(harness, 4))
    harness.pods_become = None
    await change_image(harness, "broken")
    # 25 % of 4: one more pod may be created and one old may go.
    await harness.until(lambda: (_size(harness, "one"), _size(harness, "broken")) == (3, 2))
    await harness.until(lambda: status(harness).get("unavailableReplicas") == 2)
    assert meta.is_condition_true(harness.get(DEPLOYMENTS, "web") or {}, "Available")


async def test_pause_scale_resume(harness: Harness) -> None:
    harness.start(DeploymentController, ReplicaSetController)
    await harness.client.create(DEPLOYMENTS, deployment(2))
    await harness.until(lambda: complete(harness, 2))
    await harness.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": True}}, "default")
    await harness.until(
        lambda: harness.condition(DEPLOYMENTS, "web", "Progressing").get("reason") == "DeploymentPaused"
    )
    await change_image(harness, "two")
    await harness.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}}, "default")
    await harness.until(lambda: _size(harness, "one") == 3)
    assert len(harness.all(REPLICA_SETS)) == 1
    await harness.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}}, "default")
    await harness.until(lambda: _size(harness, "two") == 3 and complete(harness, 3))


async def test_recreate_never_mixes_versions(harness: Harness) -> None:
    harness.start(DeploymentController, ReplicaSetController)
    await harness.client.create(DEPLOYMENTS, deployment(3, strategy={"type": "Recreate"}))
    await harness.until(lambda: complete(harness, 3))
    await change_image(harness, "two")

    def never_mixed() -> bool:
        images = {pod["spec"]["containers"][0]["image"] for pod in harness.all(PODS)}
        assert len(images) <= 1
        return _size(harness, "two") == 3 and complete(harness, 3)

    await harness.until(never_mixed)


async def test_history_is_limited(harness: Harness) -> None:
    harness.start(DeploymentController, ReplicaSetController)
    await harness.client.create(DEPLOYMENTS, deployment(1, revisionHistoryLimit=1))
    for image in ("one", "two", "three"):
        await change_image(harness, image)
        await harness.until(lambda image=image: _size(harness, image) == 1 and complete(harness, 1))  # type: ignore[misc]
    await harness.until(lambda: {image_of(rs) for rs in harness.all(REPLICA_SETS)} == {"two", "three"})


async def test_a_foreign_replica_set_of_the_same_name_is_a_collision(harness: Harness) -> None:
    wanted = deployment(1)
    digest = rollout.template_hash(wanted["spec"]["template"], 0)
    foreign = {"selector": {"matchLabels": {"x": "y"}}, "template": template("other"), "replicas": 0}
    await harness.client.create(
        REPLICA_SETS, {"metadata": {"name": f"web-{digest}", "namespace": "default"}, "spec": foreign}
    )
    harness.start(DeploymentController, ReplicaSetController)
    await harness.client.create(DEPLOYMENTS, wanted)
    await harness.until(lambda: complete(harness, 1))
    assert status(harness)["collisionCount"] == 1
