"""A runtime without containers: pods live in memory, as long and as well as their annotations say.

Chosen only by `--runtime simulated`: for machines without containerd, for tests of operators and controllers, and for
clusters with thousands of nodes. Time is the injected clock's, so a test can move it. Annotations of a pod, each also with
".<container>" appended for one container (durations as 500ms, 2s, 1m30s):

    simulated.steersman.io/start-delay     how long a container takes to start (0)
    simulated.steersman.io/run-for         how long it runs; default: an init container not at all, a container that is not
                                           restarted (restartPolicy Never or OnFailure) for 1s, any other for ever
    simulated.steersman.io/exit-code       how it ends (0)
    simulated.steersman.io/stop-delay      how long it takes to end when asked to, within its grace period (0)
    simulated.steersman.io/pull-error      the image cannot be pulled: the registry's words
    simulated.steersman.io/ready           "false": readiness probes fail (looked at live, as the next two are)
    simulated.steersman.io/live            "false": liveness probes fail
    simulated.steersman.io/started         "false": startup probes fail
    simulated.steersman.io/logs            what `kubectl logs` shows
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import ipaddress
import itertools
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from nodeagent import podspec, runtime
from nodeagent.podspec import INIT, REGULAR
from nodeagent.runtime import (
    CREATED,
    EXITED,
    RUNNING,
    ContainerState,
    ExecResult,
    ImageInfo,
    RuntimeFailure,
    RuntimeInfo,
    SandboxState,
    Usage,
)

Obj = dict[str, Any]

PREFIX = "simulated.steersman.io/"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_FINITE_RUN = 1.0
_PROBES = {"readinessProbe": "ready", "livenessProbe": "live", "startupProbe": "started"}
_LOG = b"This container is simulated: it has no process and writes no log.\n"


def parse_duration(text: str) -> float:
    """Seconds of 500ms, 2s, 1m30s or a plain number. ValueError."""
    try:
        return float(text)
    except ValueError:
        pass
    if not text or _DURATION.sub("", text):
        raise ValueError(f"{text!r} is not a duration")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def setting(annotations: Mapping[str, str], name: str, container: str = "") -> str:
    """An annotation for the container, or for the whole pod; "" when neither is there."""
    return annotations.get(f"{PREFIX}{name}.{container}") or annotations.get(f"{PREFIX}{name}") or ""


def _seconds(annotations: Mapping[str, str], name: str, container: str, default: float) -> float:
    text = setting(annotations, name, container)
    try:
        return parse_duration(text) if text else default
    except ValueError as error:
        raise RuntimeFailure("InvalidArgument", f"annotation {PREFIX}{name}: {error}") from None


class SimulatedRuntime:
    """One node's. Nothing outlives it; restore() rebuilds what the API remembers."""

    scheme = "simulated"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sandboxes: dict[str, SandboxState] = {}
        self._containers: dict[str, ContainerState] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._images: dict[str, ImageInfo] = {}
        self._events: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=100_000)
        self._addresses = itertools.count(2)
        self._range: ipaddress.IPv4Network | ipaddress.IPv6Network = ipaddress.ip_network("10.244.0.0/24")

    # ---- the runtime as a whole

    async def info(self) -> RuntimeInfo:
        good = (True, "", "")
        return RuntimeInfo(
            "simulated", "1", {"RuntimeReady": good, "NetworkReady": good}, None, {"": (True, True)}, True
        )

    async def update_pod_cidr(self, pod_cidr: str) -> None:
        self._range = ipaddress.ip_network(pod_cidr)

    async def cni_conf_dir(self) -> str:
        return ""

    async def close(self) -> None:
        for life in self._lives.values():
            life.cancel()
        await asyncio.gather(*self._lives.values(), return_exceptions=True)

    def _happened(self, thing_id: str, what: str) -> None:
        if not self._events.full():
            self._events.put_nowait((thing_id, what))

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        while True:
            yield await self._events.get()

    # ---- observing

    async def list_sandboxes(self, pod_uid: str = "") -> list[SandboxState]:
        return [s for s in self._sandboxes.values() if pod_uid in ("", s.pod_uid)]

    async def list_containers(self, pod_uid: str = "") -> list[ContainerState]:
        return [c for c in self._containers.values() if pod_uid in ("", c.pod_uid)]

    async def sandbox_status(self, sandbox_id: str) -> SandboxState:
        return self._sandbox(sandbox_id)

    async def container_status(self, container_id: str) -> ContainerState:
        return self._container(container_id)

    def _sandbox(self, sandbox_id: str) -> SandboxState:
        if sandbox_id not in self._sandboxes:
            raise RuntimeFailure("NotFound", f'sandbox "{sandbox_id}" not found')
        return self._sandboxes[sandbox_id]

    def _container(self, container_id: str) -> ContainerState:
        if container_id not in self._containers:
            raise RuntimeFailure("NotFound", f'container "{container_id}" not found')
        return self._containers[container_id]

    # ---- sandboxes

    async def run_sandbox(self, config: Any, handler: str = "") -> str:
        metadata = config.metadata
        sandbox_id = secrets.token_hex(32)
        host = config.linux.security_context.namespace_options.network == 2  # NODE
        self._sandboxes[sandbox_id] = SandboxState(
            id=sandbox_id,
            pod_uid=metadata.uid,
            namespace=metadata.namespace,
            name=metadata.name,
            attempt=metadata.attempt,
            ready=True,
            created_at=self._clock.time(),
            ips=() if host else (self._next_address(),),
            host_network=host,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        self._happened(sandbox_id, "started")
        return sandbox_id

    def _next_address(self) -> str:
        usable = max(1, self._range.num_addresses - 3)
        return str(self._range.network_address + 2 + (next(self._addresses) - 2) % usable)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandbox(sandbox_id)
        for container in list(self._containers.values()):
            if container.sandbox_id == sandbox_id and container.state == RUNNING:
                self._end(container.id, 137, "Error")
        self._sandboxes[sandbox_id] = dataclasses.replace(sandbox, ready=False, ips=())
        self._happened(sandbox_id, "exited")

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self._sandboxes.pop(sandbox_id, None)
        for container_id in [c.id for c in self._containers.values() if c.sandbox_id == sandbox_id]:
            await self.remove_container(container_id)
        self._happened(sandbox_id, "")

    # ---- containers

    async def create_container(self, sandbox_id: str, config: Any, sandbox_config: Any) -> str:
        sandbox = self._sandbox(sandbox_id)
        container_id = secrets.token_hex(32)
        image = config.image.user_specified_image or config.image.image
        self._containers[container_id] = ContainerState(
            id=container_id,
            pod_uid=sandbox.pod_uid,
            sandbox_id=sandbox_id,
            name=config.metadata.name,
            attempt=config.metadata.attempt,
            state=CREATED,
            created_at=self._clock.time(),
            image=image,
            image_ref=config.image.image,
            image_id=config.image.image,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._container(container_id)
        wishes = self._wishes(container)
        delay = _seconds(wishes, "start-delay", container.name, 0.0)
        if delay:
            await self._clock.sleep(delay)
        self._start(container_id, self._clock.time())

    def _start(self, container_id: str, started_at: float) -> None:
        container = dataclasses.replace(self._container(container_id), state=RUNNING, started_at=started_at)
        self._containers[container_id] = container
        self._happened(container_id, "started")
        run_for = self._run_for(container)
        if run_for is not None:
            life = self._live(container_id, started_at + run_for)
            self._lives[container_id] = asyncio.create_task(life, name="simulated container")

    def _wishes(self, container: ContainerState) -> Mapping[str, str]:
        return self._sandbox(container.sandbox_id).annotations

    def _run_for(self, container: ContainerState) -> float | None:
        """Seconds that the container runs; None: until it is stopped."""
        wishes = self._wishes(container)
        if setting(wishes, "run-for", container.name):
            return _seconds(wishes, "run-for", container.name, 0.0)
        if container.annotations.get(runtime.KIND) == INIT:
            return None if container.annotations.get(runtime.SIDECAR) == "true" else 0.0
        return None if container.annotations.get(runtime.RESTART_POLICY, "Always") == "Always" else _FINITE_RUN

    async def _live(self, container_id: str, until: float) -> None:
        await self._clock.sleep(max(0.0, until - self._clock.time()))
        container = self._containers.get(container_id)
        if container is not None:
            code = setting(self._wishes(container), "exit-code", container.name)
            self._end(container_id, int(code) if code.lstrip("-").isdigit() else 0)

    def _end(self, container_id: str, code: int, reason: str = "") -> None:
        container = self._containers.get(container_id)
        if container is None or container.state != RUNNING:
            return
        self._containers[container_id] = dataclasses.replace(
            container,
            state=EXITED,
            finished_at=self._clock.time(),
            exit_code=code,
            reason=reason or ("Completed" if code == 0 else "Error"),
        )
        self._happened(container_id, "exited")

    async def stop_container(self, container_id: str, timeout: float) -> None:
        container = self._container(container_id)
        if container.state == RUNNING:
            delay = _seconds(self._wishes(container), "stop-delay", container.name, 0.0)
            if delay:
                await self._clock.sleep(min(delay, timeout))
            self._end(container_id, 137 if delay > timeout else 0)
        self._cut(container_id)

    def _cut(self, container_id: str) -> None:
        life = self._lives.pop(container_id, None)
        if life is not None:
            life.cancel()

    async def remove_container(self, container_id: str) -> None:
        self._cut(container_id)
        self._containers.pop(container_id, None)
        self._happened(container_id, "")

    async def update_resources(self, container_id: str, resources: Any) -> None:
        self._container(container_id)

    async def reopen_log(self, container_id: str) -> None:
        self._container(container_id)

    # ---- into containers

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        self._container(container_id)
        return ExecResult(0, b"", b"")

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        raise self._nothing_runs()

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        raise self._nothing_runs()

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        raise self._nothing_runs()

    @staticmethod
    def _nothing_runs() -> RuntimeFailure:
        return RuntimeFailure("Unimplemented", "the containers of this node are simulated: nothing runs in them")

    def canned_log(self, container_id: str) -> bytes | None:
        container = self._containers.get(container_id)
        text = setting(self._wishes(container), "logs", container.name) if container else ""
        return (text.rstrip("\n") + "\n").encode() if text else _LOG

    def canned_probe(self, pod: Mapping[str, Any], container_id: str, kind: str) -> bool | None:
        container = self._containers.get(container_id)
        annotations = pod["metadata"].get("annotations") or {}
        return setting(annotations, _PROBES[kind], container.name if container else "") != "false"

    # ---- images: every image is there

    async def list_images(self) -> list[ImageInfo]:
        return list(self._images.values())

    async def image_status(self, image: str) -> ImageInfo | None:
        if image not in self._images:
            digest = "sha256:" + hashlib.sha256(image.encode()).hexdigest()
            self._images[image] = ImageInfo(digest, (image,), (), 0, 1000, "", False)
        return self._images[image]

    async def pull_image(self, image: str, auth: Mapping[str, str] | None, sandbox_config: Any) -> str:
        error = setting(dict(sandbox_config.annotations), "pull-error")
        if error:
            raise RuntimeFailure("Unknown", f'failed to pull and unpack image "{image}": {error}')
        found = await self.image_status(image)
        assert found is not None
        return found.id

    async def remove_image(self, image: str) -> None:
        self._images.pop(image, None)

    async def image_filesystems(self) -> list[tuple[str, int, int]]:
        return []

    async def usage(self) -> list[Usage]:
        return []

    # ---- after a restart

    def restore(self, pod: Obj) -> None:
        """Take up a pod where its status says that it was: a simulated pod survives its node agent as a real one does."""
        status = pod.get("status") or {}
        if (
            status.get("phase") not in ("Running", "Pending")
            or not status.get("podIP")
            or pod["metadata"].get("deletionTimestamp")
        ):
            return
        metadata = pod["metadata"]
        sandbox_id = secrets.token_hex(32)
        since = times.parse_time(status["startTime"]) if status.get("startTime") else self._clock.time()
        host = podspec.host_network(pod)
        self._sandboxes[sandbox_id] = SandboxState(
            id=sandbox_id,
            pod_uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            attempt=0,
            ready=True,
            created_at=since,
            ips=() if host else tuple(entry["ip"] for entry in status.get("podIPs") or ()),
            host_network=host,
            annotations=metadata.get("annotations") or {},
        )
        for kind, field in ((INIT, "initContainerStatuses"), (REGULAR, "containerStatuses")):
            entries = {entry["name"]: entry for entry in status.get(field) or ()}
            for container in pod["spec"].get(kind) or ():
                if container["name"] in entries:
                    self._restore_container(pod, sandbox_id, kind, container, entries[container["name"]])

    def _restore_container(self, pod: Obj, sandbox_id: str, kind: str, container: Obj, entry: Obj) -> None:
        container_id = (entry.get("containerID") or "").partition("://")[2]
        state = entry.get("state") or {}
        told = state.get("running") or state.get("terminated")
        if not container_id or not told or not told.get("startedAt"):
            return
        started = times.parse_time(told["startedAt"])
        restored = ContainerState(
            id=container_id,
            pod_uid=pod["metadata"]["uid"],
            sandbox_id=sandbox_id,
            name=container["name"],
            attempt=entry.get("restartCount") or 0,
            state=CREATED,
            created_at=started,
            image=entry.get("image") or "",
            image_ref=entry.get("imageID") or "",
            annotations={
                runtime.HASH: podspec.container_hash(container),
                runtime.KIND: kind,
                runtime.RESTART_POLICY: container.get("restartPolicy") or podspec.restart_policy(pod),
                runtime.SIDECAR: "true" if podspec.is_sidecar(container) else "false",
            },
        )
        self._containers[container_id] = restored
        if "running" in state:
            self._start(container_id, started)
        else:
            self._containers[container_id] = dataclasses.replace(
                restored,
                state=EXITED,
                started_at=started,
                finished_at=times.parse_time(told["finishedAt"]) if told.get("finishedAt") else started,
                exit_code=told.get("exitCode") or 0,
                reason=told.get("reason") or "",
            )
