"""Reading a pod's specification: its containers by kind, whether one is to be restarted, names of it in texts. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from apimachinery import meta, pods
from nodeagent import runtime
from nodeagent.runtime import ContainerState, PodState

Obj = dict[str, Any]

INIT, REGULAR, EPHEMERAL = "initContainers", "containers", "ephemeralContainers"
DEFAULT_GRACE = 30


def containers(pod: Obj, *kinds: str) -> Iterator[tuple[str, Obj]]:
    """(kind, container) of the given kinds, or of all, in the order in which the original visits them."""
    for kind in kinds or (INIT, REGULAR, EPHEMERAL):
        for container in pod["spec"].get(kind) or ():
            yield kind, container


def find(pod: Obj, name: str) -> tuple[str, Obj] | None:
    """The container of that name, with its kind."""
    return next(((kind, container) for kind, container in containers(pod) if container["name"] == name), None)


def field_path(pod: Obj, name: str) -> str:
    """How events name a container of the pod."""
    found = find(pod, name)
    return f"spec.{found[0]}{{{name}}}" if found else ""


def describe(pod: Obj) -> str:
    """ "name_namespace(uid)", as the original's texts name pods."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"


def host_network(pod: Obj) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def grace_period(pod: Obj) -> int:
    """Seconds that the pod's containers get to end."""
    deletion = pod["metadata"].get("deletionGracePeriodSeconds")
    if deletion is not None:
        return int(deletion)
    own = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if own is None else int(own)


def container_hash(container: Mapping[str, Any]) -> str:
    """Changes exactly when a running container must be replaced: with its name or image, as in the original."""
    return f"{zlib.crc32(orjson.dumps([container['name'], container.get('image', '')])):x}"


def restart_policy(pod: Obj) -> str:
    return pod["spec"].get("restartPolicy") or "Always"


def restarts_after(pod: Obj, container: Mapping[str, Any], exit_code: int) -> bool:
    """Whether a container that ended so is started again: its own rules, then its own policy, then the pod's."""
    policy = container.get("restartPolicy")
    if policy:
        for rule in container.get("restartPolicyRules") or ():
            if rule.get("action") in ("Restart", "RestartAllContainers") and _matches(rule.get("exitCodes"), exit_code):
                return True
    else:
        policy = restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _matches(rule: Mapping[str, Any] | None, exit_code: int) -> bool:
    if not rule:
        return False
    listed = exit_code in (rule.get("values") or ())
    return listed if rule.get("operator") == "In" else not listed


def should_start(pod: Obj, container: Mapping[str, Any], state: PodState) -> bool:
    """Whether the container is to be started as things are (ShouldContainerBeRestarted)."""
    if meta.deleting(pod):
        return False
    newest = state.container(container["name"])
    if newest is None or newest.state in (runtime.CREATED, runtime.UNKNOWN):
        return True
    return newest.state == runtime.EXITED and restarts_after(pod, container, newest.exit_code)


def has_regular_created(pod: Obj, state: PodState) -> bool:
    """Whether any regular container exists in the current sandbox: initialisation is then over for good."""
    sandbox = state.sandbox
    if sandbox is None:
        return False
    names = {container["name"] for _, container in containers(pod, REGULAR)}
    return any(c.name in names and c.sandbox_id in ("", sandbox.id) for c in state.containers)


def succeeded(container: ContainerState | None) -> bool:
    return container is not None and container.state == runtime.EXITED and container.exit_code == 0


is_sidecar = pods.is_sidecar
