"""The simulated runtime: lives in memory, on a clock that a test moves."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from nodeagent import podspec, runtime
from nodeagent.cri import runtime_pb2 as pb
from nodeagent.runtime import EXITED, RUNNING, RuntimeFailure
from nodeagent.simulated import SimulatedRuntime, parse_duration
from tests.nodeagent.pods import UID, container, pod

Obj = dict[str, Any]


async def start(
    simulated: SimulatedRuntime, policy: str = "Always", kind: str = podspec.REGULAR, **annotations: str
) -> tuple[str, str]:
    """A sandbox with one started container; the keys of annotations with _ for -."""
    wishes = {f"simulated.steersman.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    sandbox = await simulated.run_sandbox(
        pb.PodSandboxConfig(metadata=pb.PodSandboxMetadata(name="p", namespace="ns", uid=UID), annotations=wishes)
    )
    config = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name="c"),
        image=pb.ImageSpec(image="x"),
        annotations={runtime.RESTART_POLICY: policy, runtime.KIND: kind},
    )
    made = await simulated.create_container(sandbox, config, None)
    await simulated.start_container(made)
    return sandbox, made


async def state(simulated: SimulatedRuntime, made: str) -> tuple[str, int]:
    found = await simulated.container_status(made)
    return found.state, found.exit_code


async def test_a_service_runs_until_it_is_stopped() -> None:
    clock = ControlledClock()
    simulated = SimulatedRuntime(clock)
    sandbox, made = await start(simulated)
    await clock.advance(3600)
    assert await state(simulated, made) == (RUNNING, 0)
    await simulated.stop_container(made, 30)
    assert await state(simulated, made) == (EXITED, 0)
    await simulated.stop_sandbox(sandbox)
    assert not (await simulated.sandbox_status(sandbox)).ready
    await simulated.remove_sandbox(sandbox)
    assert await simulated.list_containers() == []


async def test_a_job_completes() -> None:
    clock = ControlledClock()
    simulated = SimulatedRuntime(clock)
    _, made = await start(simulated, "Never")
    await clock.advance(0.9)
    assert await state(simulated, made) == (RUNNING, 0)
    await clock.advance(0.2)
    assert await state(simulated, made) == (EXITED, 0)


async def test_annotations_say_how_long_and_how_it_ends() -> None:
    clock = ControlledClock()
    simulated = SimulatedRuntime(clock)
    _, made = await start(simulated, run_for="1m30s", exit_code="3")
    await clock.advance(89)
    assert await state(simulated, made) == (RUNNING, 0)
    await clock.advance(2)
    assert await state(simulated, made) == (EXITED, 3)
    with pytest.raises(RuntimeFailure, match="is not a duration"):
        await start(simulated, run_for="soon")


async def test_init_containers_end_at_once() -> None:
    clock = ControlledClock()
    simulated = SimulatedRuntime(clock)
    _, made = await start(simulated, kind=podspec.INIT)
    await clock.advance(0)
    assert await state(simulated, made) == (EXITED, 0)


async def test_changes_are_heard_of() -> None:
    simulated = SimulatedRuntime(ControlledClock())
    sandbox, made = await start(simulated)
    heard = []
    async for event in simulated.events():
        heard.append(event)
        if len(heard) == 2:
            break
    assert heard == [(sandbox, "started"), (made, "started")]


async def test_addresses_differ() -> None:
    simulated = SimulatedRuntime(ControlledClock())
    await simulated.update_pod_cidr("10.9.0.0/24")
    for _ in range(3):
        await start(simulated)
    assert sorted(s.ips[0] for s in await simulated.list_sandboxes()) == ["10.9.0.2", "10.9.0.3", "10.9.0.4"]


async def test_probes_answer_as_the_pod_says_now() -> None:
    simulated = SimulatedRuntime(ControlledClock())
    _, made = await start(simulated)
    spec = pod()
    assert simulated.canned_probe(spec, made, "readinessProbe") is True
    spec["metadata"]["annotations"] = {"simulated.steersman.io/ready.c": "false"}
    assert simulated.canned_probe(spec, made, "readinessProbe") is False


async def test_nothing_runs_in_them() -> None:
    simulated = SimulatedRuntime(ControlledClock())
    _, made = await start(simulated)
    assert b"simulated" in (simulated.canned_log(made) or b"")
    with pytest.raises(RuntimeFailure, match="nothing runs in them"):
        await simulated.exec_url(made, ["sh"], tty=False, stdin=False, stdout=True, stderr=True)


async def test_pods_are_taken_up_again_after_a_restart() -> None:
    clock = ControlledClock()
    spec = pod(container())
    started = "2023-11-14T22:13:20Z"
    entry = {
        "name": "c",
        "containerID": "simulated://abc",
        "restartCount": 2,
        "state": {"running": {"startedAt": started}},
    }
    spec["status"] = {
        "phase": "Running",
        "podIP": "10.9.0.7",
        "podIPs": [{"ip": "10.9.0.7"}],
        "startTime": started,
        "containerStatuses": [entry],
    }
    simulated = SimulatedRuntime(clock)
    simulated.restore(spec)
    found = await simulated.container_status("abc")
    assert (found.state, found.restart_count) == (RUNNING, 2)
    assert (await simulated.list_sandboxes(UID))[0].ips == ("10.9.0.7",)


def test_durations() -> None:
    assert [parse_duration(text) for text in ("2", "500ms", "1m30s", "2h")] == [2.0, 0.5, 90.0, 7200.0]
