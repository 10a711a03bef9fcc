from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from controllers import rollout

Obj = dict[str, Any]


def deployment(replicas: int = 10, surge: Any = 3, unavailable: Any = 2, **extra: Any) -> Obj:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    spec = {"replicas": replicas, "strategy": strategy, "template": {"metadata": {"labels": {"a": "b"}}}, **extra}
    return {"metadata": {"name": "d", "generation": 1}, "spec": spec, "status": {}}


def rs(name: str, replicas: int, available: int | None = None, desired: int | None = None, **extra: Any) -> Obj:
    ready = replicas if available is None else available
    annotations = {} if desired is None else {rollout.DESIRED: str(desired), rollout.MAXIMUM: str(desired + 3)}
    return {
        "metadata": {"name": name, "uid": name, "annotations": annotations, "generation": 1, **extra},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"a": "b", rollout.HASH_LABEL: name}}}},
        "status": {"replicas": replicas, "availableReplicas": ready, "readyReplicas": ready, "observedGeneration": 1},
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (10, 0, 0, (0, 1)),
        (0, "25%", "25%", (0, 1)),
        (3, 1, "10%", (1, 0)),
    ],
)
def test_fenceposts(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    assert rollout.fenceposts(deployment(replicas, surge, unavailable)) == expected


def test_the_new_grows_within_the_surge() -> None:
    old, new = rs("old", 10), rs("new", 0)
    assert rollout.new_replicas(deployment(), [old, new], new) == 3
    assert rollout.new_replicas(deployment(), [rs("old", 13), new], new) == 0


def test_the_old_shrink_as_the_new_become_available() -> None:
    # The worked example of the original: 10 replicas, 2 unavailable, 3 surge.
    assert rollout.scale_down_old(deployment(), [rs("old", 10)], rs("new", 3, available=0)) == {"old": 8}
    assert rollout.scale_down_old(deployment(), [rs("old", 8)], rs("new", 5, available=0)) == {}
    assert rollout.scale_down_old(deployment(), [rs("old", 8)], rs("new", 5, available=5)) == {"old": 3}


def test_unhealthy_old_pods_go_first() -> None:
    old = [rs("a", 5, available=5), rs("b", 5, available=2)]
    plan = rollout.scale_down_old(deployment(), old, rs("new", 3, available=0))
    assert plan == {"b": 3}


def test_scaling_during_a_rollout_is_proportional() -> None:
    d = deployment(20)
    d["status"]["replicas"] = 13
    plan = rollout.scale_plan(d, rs("new", 5, desired=10), [rs("old", 8, desired=10)])
    assert plan == {"old": 14, "new": 9}
    assert sum(plan.values()) == 23


def test_a_single_active_replica_set_follows_the_deployment() -> None:
    assert rollout.scale_plan(deployment(4), rs("new", 2), [rs("old", 0)]) == {"new": 4}
    assert rollout.scale_plan(deployment(0), rs("new", 2), []) == {"new": 0}
    assert rollout.is_scaling_event(deployment(4), [rs("new", 2, desired=2)])
    assert not rollout.is_scaling_event(deployment(2), [rs("new", 2, desired=2)])


def test_templates_are_compared_without_the_hash() -> None:
    assert rollout.same_template(rs("x", 1)["spec"]["template"], rs("y", 1)["spec"]["template"])
    assert rollout.find_new(deployment(), [rs("x", 1)]) is not None
    template: Obj = {"spec": {"containers": []}}
    assert rollout.template_hash(template, 0) == rollout.template_hash(dict(template), 0)
    assert rollout.template_hash(template, 0) != rollout.template_hash(template, 1)
    assert set(rollout.template_hash(template, 0)) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_annotations_carry_revision_and_history() -> None:
    d = deployment()
    d["metadata"]["annotations"] = {"note": "x", rollout.REVISION: "9"}
    created = rollout.new_annotations(d, {}, 2, exists=False)
    assert created == {"note": "x", rollout.REVISION: "2", rollout.DESIRED: "10", rollout.MAXIMUM: "13"}
    rolled_back = rollout.new_annotations(d, created, 4, exists=True)
    assert (rolled_back[rollout.REVISION], rolled_back[rollout.HISTORY]) == ("4", "2")
    again = rollout.new_annotations(d, rolled_back, 6, exists=True)
    assert again[rollout.HISTORY] == "2,4"
    assert rollout.new_annotations(d, again, 5, exists=True) is again


def test_history_beyond_the_limit_is_forgotten() -> None:
    d = deployment(revisionHistoryLimit=1)
    old = []
    for name, size, text in (("a", 0, "1"), ("b", 1, "2"), ("c", 0, "3")):
        old.append(rs(name, size))
        old[-1]["metadata"]["annotations"] = {rollout.REVISION: text}
    assert [o["metadata"]["name"] for o in rollout.outdated(d, old)] == ["a"]
    assert rollout.outdated(deployment(), old) == []


async def test_progress_and_its_deadline() -> None:
    clock = ControlledClock()
    d = deployment(2, progressDeadlineSeconds=10)
    new = rs("new", 2, available=1)
    d["status"] = rollout.rollout_status(d, [new], new, clock)
    reasons = {c["type"]: (c["status"], c["reason"]) for c in d["status"]["conditions"]}
    assert reasons == {"Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("True", "ReplicaSetUpdated")}
    assert rollout.check_after(d, d["status"], clock) == 11
    await clock.advance(11)
    d["status"] = rollout.rollout_status(d, [new], new, clock)
    timed_out = next(c for c in d["status"]["conditions"] if c["type"] == "Progressing")
    assert (timed_out["status"], timed_out["message"]) == ("False", 'ReplicaSet "new" has timed out progressing.')
    assert rollout.check_after(d, d["status"], clock) is None
    done = rs("new", 2)
    d["status"] = rollout.rollout_status(d, [done], done, clock)
    complete = next(c for c in d["status"]["conditions"] if c["type"] == "Progressing")
    assert (complete["status"], complete["reason"]) == ("True", "NewReplicaSetAvailable")
    assert complete["message"] == 'ReplicaSet "new" has successfully progressed.'
