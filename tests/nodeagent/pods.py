"""Pods and states for the node agent's tests, with nothing in them that a test does not care for."""

from __future__ import annotations

from typing import Any

from nodeagent import podspec, runtime
from nodeagent.runtime import EXITED, RUNNING, ContainerState, PodState, SandboxState

Obj = dict[str, Any]
UID = "11111111-2222-3333-4444-555555555555"


def pod(*containers: Obj, **spec: Any) -> Obj:
    """A pod named p in namespace ns; containers default to one named c."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "namespace": "ns", "uid": UID, "generation": 1},
        "spec": {"containers": list(containers) or [container()], "restartPolicy": "Always", "nodeName": "n", **spec},
        "status": {"phase": "Pending"},
    }


def container(name: str = "c", **fields: Any) -> Obj:
    return {"name": name, "image": "busybox:1", **fields}


def sandbox(
    *, ready: bool = True, attempt: int = 0, ips: tuple[str, ...] = ("10.1.0.2",), **fields: Any
) -> SandboxState:
    return SandboxState(f"s{attempt}", UID, "ns", "p", attempt, ready, 100.0 + attempt, ips if ready else (), **fields)


def ran(
    name: str = "c", state: str = RUNNING, *, code: int = 0, attempt: int = 0, image: str = "busybox:1"
) -> ContainerState:
    """A container of that name in the first sandbox."""
    ended = state == EXITED
    return ContainerState(
        id=f"{name}-{attempt}",
        pod_uid=UID,
        sandbox_id="s0",
        name=name,
        attempt=attempt,
        state=state,
        created_at=110.0 + attempt,
        started_at=111.0 + attempt,
        finished_at=112.0 + attempt if ended else 0.0,
        exit_code=code,
        reason=("Completed" if code == 0 else "Error") if ended else "",
        image=image,
        image_ref="sha256:abc",
        annotations={
            runtime.HASH: podspec.container_hash(container(name, image=image)),
            runtime.RESTART_COUNT: str(attempt),
        },
    )


def holds(*containers: ContainerState, sandboxes: tuple[SandboxState, ...] | None = None) -> PodState:
    """What the runtime holds of the pod, newest first."""
    order = sorted(containers, key=lambda c: c.created_at, reverse=True)
    return PodState(UID, "ns", "p", (sandbox(),) if sandboxes is None else sandboxes, tuple(order))
