"""Pod statuses as users read them: phase, conditions, container states."""

from __future__ import annotations

from typing import Any

from apimachinery import meta
from nodeagent import status
from nodeagent.runtime import EXITED, PodState
from tests.nodeagent.pods import container, holds, pod, ran, sandbox

Obj = dict[str, Any]


def draw(spec: Obj, state: PodState, **facts: Any) -> Obj:
    defaults: dict[str, Any] = {
        "scheme": "containerd",
        "now": 1000.0,
        "host_ips": ("192.0.2.1",),
        "old": spec["status"],
    }
    return status.generate(spec, state, status.Facts(**{**defaults, **facts}))


def conditions(drawn: Obj) -> dict[str, str]:
    return {entry["type"]: entry["status"] for entry in drawn["conditions"]}


def test_a_pod_that_waits_for_its_containers() -> None:
    drawn = draw(pod(), holds(sandboxes=()))
    assert drawn["phase"] == "Pending"
    assert drawn["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(drawn) == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }
    ready = meta.find_condition(drawn["conditions"], "Ready")
    assert ready is not None
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [c]")


def test_a_running_pod() -> None:
    drawn = draw(pod(), holds(ran()))
    entry = drawn["containerStatuses"][0]
    assert (drawn["phase"], drawn["podIP"], drawn["hostIP"]) == ("Running", "10.1.0.2", "192.0.2.1")
    assert (entry["ready"], entry["started"], entry["containerID"]) == (True, True, "containerd://c-0")
    assert entry["state"] == {"running": {"startedAt": "1970-01-01T00:01:51Z"}}
    assert set(conditions(drawn).values()) == {"True"}
    assert drawn["observedGeneration"] == 1


def test_readiness_holds_back_the_pod() -> None:
    drawn = draw(pod(), holds(ran()), ready=lambda c, s: False)
    assert drawn["phase"] == "Running"
    assert conditions(drawn)["Ready"] == "False"


def test_a_completed_pod() -> None:
    drawn = draw(pod(restartPolicy="Never"), holds(ran(state=EXITED)))
    assert drawn["phase"] == "Succeeded"
    assert drawn["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    ready = meta.find_condition(drawn["conditions"], "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_a_failed_pod() -> None:
    drawn = draw(pod(restartPolicy="Never"), holds(ran(state=EXITED, code=3)))
    assert drawn["phase"] == "Failed"
    assert drawn["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_a_crashing_container_waits_with_its_reason_and_last_state() -> None:
    drawn = draw(pod(), holds(ran(state=EXITED, code=1)), waiting={"c": ("CrashLoopBackOff", "back-off 10s")})
    entry = drawn["containerStatuses"][0]
    assert drawn["phase"] == "Running"
    assert entry["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert entry["lastState"]["terminated"]["exitCode"] == 1


def test_the_attempt_before_is_the_last_state() -> None:
    drawn = draw(pod(), holds(ran(attempt=1), ran(state=EXITED, code=2)))
    entry = drawn["containerStatuses"][0]
    assert entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["exitCode"] == 2


def test_init_containers_hold_the_pod_pending() -> None:
    spec = pod(initContainers=[container("i")])
    drawn = draw(spec, holds(ran("i")))
    assert drawn["phase"] == "Pending"
    assert drawn["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    initialized = meta.find_condition(drawn["conditions"], "Initialized")
    assert initialized is not None
    assert initialized["message"] == "containers with incomplete status: [i]"
    done = draw(spec, holds(ran("i", EXITED)))
    assert done["initContainerStatuses"][0]["ready"] is True


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    drawn = draw(pod(initContainers=[container("i")], restartPolicy="Never"), holds(ran("i", EXITED, code=1)))
    assert drawn["phase"] == "Failed"


def test_a_phase_that_is_over_stays() -> None:
    spec = pod()
    spec["status"] = {"phase": "Failed", "reason": "Evicted", "message": "full"}
    drawn = draw(spec, holds(ran()))
    assert (drawn["phase"], drawn["reason"], drawn["message"]) == ("Failed", "Evicted", "full")


def test_a_forced_end_names_its_reason() -> None:
    drawn = draw(pod(), holds(ran()), forced=("Failed", "DeadlineExceeded", "too long"))
    assert (drawn["phase"], drawn["reason"]) == ("Failed", "DeadlineExceeded")


def test_conditions_of_others_and_their_times_are_kept() -> None:
    spec = pod(readinessGates=[{"conditionType": "example.com/gate"}])
    gate = {"type": "example.com/gate", "status": "True"}
    before = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    spec["status"]["conditions"] = [gate, before]
    drawn = draw(spec, holds(ran()))
    assert gate in drawn["conditions"]
    assert conditions(drawn)["Ready"] == "True"
    scheduled = meta.find_condition(drawn["conditions"], "PodScheduled")
    assert scheduled is not None
    assert scheduled["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_a_missing_readiness_gate() -> None:
    ready = meta.find_condition(
        draw(pod(readinessGates=[{"conditionType": "a/b"}]), holds(ran()))["conditions"], "Ready"
    )
    assert ready is not None
    assert ready["message"] == 'corresponding condition of pod readiness gate "a/b" does not exist.'


def test_a_container_that_vanished_counts_as_a_restart() -> None:
    spec = pod()
    spec["status"] = draw(spec, holds(ran()))
    drawn = draw(spec, holds(sandboxes=(sandbox(),)))
    entry = drawn["containerStatuses"][0]
    assert entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_pods_on_the_hosts_network_have_its_address() -> None:
    drawn = draw(pod(hostNetwork=True), holds(ran(), sandboxes=(sandbox(ips=(), host_network=True),)))
    assert drawn["podIP"] == "192.0.2.1"


def test_nothing_is_left_waiting_at_the_end() -> None:
    spec = pod(container("a"), container("b"))
    drawn = status.finish(spec, draw(spec, holds(ran("a", EXITED)), terminal=True))
    states = {entry["name"]: entry["state"] for entry in drawn["containerStatuses"]}
    assert states["a"]["terminated"]["reason"] == "Completed"
    assert states["b"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_pod_is_known_by_its_address_after_its_sandbox_is_gone() -> None:
    spec = pod(restartPolicy="Never")
    spec["status"] = draw(spec, holds(ran()))
    gone = holds(ran(state=EXITED), sandboxes=(sandbox(ready=False),))
    assert draw(spec, gone)["podIP"] == "10.1.0.2"
    assert draw(spec, gone, terminal=True)["podIPs"] == [{"ip": "10.1.0.2"}]
