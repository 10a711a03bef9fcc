"""What a node agent does about a pod: sandbox, init containers, sidecars, restarts, probes."""

from __future__ import annotations

from nodeagent import plan
from nodeagent.plan import Health
from nodeagent.runtime import CREATED, EXITED, RUNNING, UNKNOWN
from tests.nodeagent.pods import container, holds, pod, ran, sandbox

WELL = Health()


def test_a_new_pod_gets_a_sandbox_and_its_containers() -> None:
    found = plan.compute(pod(container("a"), container("b")), holds(sandboxes=()), WELL)
    assert (found.create_sandbox, found.attempt, found.start) == (True, 0, [0, 1])


def test_a_running_pod_is_left_alone() -> None:
    assert plan.compute(pod(), holds(ran()), WELL).idle


def test_a_dead_sandbox_is_replaced_and_init_containers_run_again() -> None:
    spec = pod(container(), initContainers=[container("i")])
    found = plan.compute(spec, holds(ran(), ran("i", EXITED), sandboxes=(sandbox(ready=False),)), WELL)
    assert (found.kill_pod, found.create_sandbox, found.attempt) == (True, True, 1)
    assert (found.start_init, found.start) == ([0], [])


def test_a_sandbox_without_an_address_is_replaced() -> None:
    assert plan.compute(pod(), holds(ran(), sandboxes=(sandbox(ips=()),)), WELL).create_sandbox
    assert plan.compute(pod(hostNetwork=True), holds(ran(), sandboxes=(sandbox(ips=(), host_network=True),)), WELL).idle


def test_a_finished_pod_gets_no_new_sandbox() -> None:
    done = holds(ran(state=EXITED), sandboxes=(sandbox(ready=False),))
    for policy in ("Never", "OnFailure"):
        found = plan.compute(pod(restartPolicy=policy), done, WELL)
        assert (found.kill_pod, found.create_sandbox) == (True, False)


def test_restart_policies() -> None:
    for policy, code, restarts in [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ]:
        found = plan.compute(pod(restartPolicy=policy), holds(ran(state=EXITED, code=code)), WELL)
        assert bool(found.start) is restarts
        assert found.kill_pod is not restarts


def test_a_containers_own_rules_come_before_the_pods_policy() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    one = container(restartPolicy="Never", restartPolicyRules=rules)
    assert plan.compute(pod(one, restartPolicy="Never"), holds(ran(state=EXITED, code=42)), WELL).start == [0]
    assert plan.compute(pod(one, restartPolicy="Never"), holds(ran(state=EXITED, code=1)), WELL).kill_pod


def test_init_containers_run_one_after_the_other() -> None:
    spec = pod(container(), initContainers=[container("i"), container("j")])
    assert plan.compute(spec, holds(), WELL).start_init == [0]
    assert plan.compute(spec, holds(ran("i")), WELL).idle
    assert plan.compute(spec, holds(ran("i", EXITED)), WELL).start_init == [1]
    found = plan.compute(spec, holds(ran("i", EXITED), ran("j", EXITED)), WELL)
    assert (found.start_init, found.start) == ([], [0])
    # Once a regular container exists, init containers are over, even when the runtime has forgotten them.
    assert plan.compute(spec, holds(ran()), WELL).idle


def test_a_failing_init_container() -> None:
    failed = holds(ran("i", EXITED, code=1))
    again = plan.compute(pod(initContainers=[container("i")]), failed, WELL)
    assert (again.start_init, again.kill_pod) == ([0], False)
    assert plan.compute(pod(initContainers=[container("i")], restartPolicy="Never"), failed, WELL).kill_pod


def test_an_init_container_that_was_only_created_is_started_again() -> None:
    assert plan.compute(pod(initContainers=[container("i")]), holds(ran("i", CREATED)), WELL).start_init == [0]


def test_a_sidecar_lets_the_next_start_once_it_has_started() -> None:
    spec = pod(initContainers=[container("s", restartPolicy="Always"), container("i")])
    undecided = Health(has_startup=lambda _: True)
    assert plan.compute(spec, holds(ran("s")), undecided).idle
    assert plan.compute(spec, holds(ran("s")), WELL).start_init == [1]


def test_sidecars_are_kept_alive_until_the_pod_is_done() -> None:
    spec = pod(initContainers=[container("s", restartPolicy="Always")], restartPolicy="Never")
    assert plan.compute(spec, holds(ran("s", EXITED, code=1), ran()), WELL).start_init == [0]
    found = plan.compute(spec, holds(ran("s"), ran(state=EXITED)), WELL)
    assert (found.kill_pod, found.start_init) == (True, [])


def test_a_failed_liveness_probe_replaces_the_container() -> None:
    sick = Health(liveness_failed=lambda cid: cid == "c-0")
    found = plan.compute(pod(), holds(ran()), sick)
    assert found.start == [0]
    assert found.kills[0].message == "Container c failed liveness probe, will be restarted"
    never = plan.compute(pod(restartPolicy="Never"), holds(ran()), sick)
    assert (never.start, never.kills[0].message) == ([], "Container c failed liveness probe")


def test_a_changed_image_replaces_the_container_whatever_the_policy() -> None:
    found = plan.compute(pod(container(image="busybox:2"), restartPolicy="Never"), holds(ran()), WELL)
    assert found.start == [0]
    assert found.kills[0].message == "Container c definition changed, will be restarted"


def test_a_lost_container_is_killed_before_it_is_started_again() -> None:
    found = plan.compute(pod(), holds(ran(state=UNKNOWN)), WELL)
    assert (found.start, len(found.kills)) == ([0], 1)


def test_ephemeral_containers_start_once_and_early() -> None:
    spec = pod(initContainers=[container("i")], ephemeralContainers=[container("e")])
    assert plan.compute(spec, holds(ran("i")), WELL).start_ephemeral == [0]
    assert plan.compute(spec, holds(ran("i"), ran("e", EXITED, code=1)), WELL).start_ephemeral == []


def test_a_pod_being_deleted_is_not_restarted() -> None:
    spec = pod()
    spec["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert plan.compute(spec, holds(ran(state=EXITED, code=1)), WELL).start == []


def test_several_ready_sandboxes_are_one_too_many() -> None:
    both = (sandbox(attempt=1), sandbox())
    assert plan.compute(pod(), holds(ran(state=RUNNING), sandboxes=both), WELL).attempt == 2


def test_resources_are_changed_in_place_or_by_a_restart() -> None:
    given = Health(resources=lambda c: {"requests": {"cpu": "100m"}})
    asked = {"requests": {"cpu": "200m"}}
    assert plan.compute(pod(container(resources={"requests": {"cpu": "0.1"}})), holds(ran()), given).idle
    found = plan.compute(pod(container(resources=asked)), holds(ran()), given)
    assert ([item.container.name for item in found.resizes], found.kills) == (["c"], [])
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    restarted = plan.compute(pod(container(resources=asked, resizePolicy=policy)), holds(ran()), given)
    assert restarted.resizes == []
    assert restarted.kills[0].message == "Container c resize requires restart, will be restarted"
    assert restarted.start == [0]
