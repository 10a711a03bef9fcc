"""Starting a pod's sandbox and containers: what the worker does with a plan.

A step that cannot be done now leaves its reason for the status (`waiting`) and says when to try again (`retry_at`); it
does not raise. What raises is the runtime being away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

from apimachinery import pods
from apimachinery.errors import ApiError
from client.api import Unreachable
from client.resources import RUNTIME_CLASSES, SECRETS
from nodeagent import (
    cgroups,
    containerspec,
    dns,
    environment,
    hooks,
    hostsfile,
    podspec,
    resources,
    sandboxspec,
    security,
    stopping,
)
from nodeagent.backoff import draw_duration
from nodeagent.context import NodeContext
from nodeagent.cri import runtime_pb2 as pb
from nodeagent.environment import ConfigError
from nodeagent.images import PullFailure
from nodeagent.plan import Resize
from nodeagent.podspec import EPHEMERAL
from nodeagent.runtime import EXITED, RUNNING, PodState, RuntimeFailure
from nodeagent.volumes import content
from nodeagent.volumes.manager import VolumeErrors

log = logging.getLogger(__name__)

Obj = dict[str, Any]
T = TypeVar("T")

_LOOK_AGAIN = 10.0  # seconds: while a container backs off, say so this often, as the original's sync loop does


async def uninterrupted(work: Awaitable[T]) -> T:
    """The result of a call that changes the runtime; when cancelled, wait for its end first, so that nothing is half made."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


class Starter:
    """The starting half of one pod's worker. waiting: container name -> (reason, message)."""

    def __init__(self, node: NodeContext, uid: str) -> None:
        self._node = node
        self._uid = uid
        self.waiting: dict[str, tuple[str, str]] = {}
        self.retry_at: float | None = None
        self.volumes_ready = False
        self.cgroup_parent = ""
        self._volume_delay = 0.0
        self._sandbox_delay = 0.0
        self._handler = ""
        self._runtime_refused = ""

    def retry_in(self, seconds: float) -> None:
        """Look at the pod again after that many seconds at the latest."""
        due = self._node.clock.monotonic() + seconds
        self.retry_at = due if self.retry_at is None else min(self.retry_at, due)

    # ---- volumes

    def volume_context(self, pod: Obj, state: PodState) -> content.Context:
        node = self._node
        return content.Context(
            pod, node.objects.get, node.tokens.get, self.addresses(pod, state), node.facts.allocatable
        )

    async def set_up_volumes(self, pod: Obj, state: PodState) -> bool:
        """Make the volumes or bring them up to date; whether all are there."""
        node = self._node
        try:
            await node.volumes.setup(self.volume_context(pod, state))
        except VolumeErrors as errors:
            for name, text in errors.failures.items():
                node.tell(pod, "", "Warning", "FailedMount", f'MountVolume.SetUp failed for volume "{name}" : {text}')
            self._back_off_volumes()
            return False
        except (ApiError, Unreachable, TimeoutError) as error:
            node.tell(pod, "", "Warning", "FailedMount", f"MountVolume.SetUp failed : {error}")
            self._back_off_volumes()
            return False
        self._volume_delay = 0.0
        self.volumes_ready = True
        refresh = node.tokens.next_refresh(self._uid)
        if refresh is not None:
            self.retry_in(max(1.0, refresh - node.clock.time()))
        return True

    def _back_off_volumes(self) -> None:
        self._volume_delay = min(122.0, self._volume_delay * 2 or 0.5)
        self.retry_in(self._volume_delay)

    # ---- the sandbox

    def addresses(self, pod: Obj, state: PodState) -> dict[str, Any]:
        """hostIP(s) and podIP(s) as they are now."""
        host = list(self._node.facts.host_ips)
        sandbox = state.sandbox
        ips = host if podspec.host_network(pod) else list(sandbox.ips if sandbox else ())
        return {
            "hostIP": host[0] if host else "",
            "hostIPs": [{"ip": ip} for ip in host],
            "podIP": ips[0] if ips else "",
            "podIPs": [{"ip": ip} for ip in ips],
        }

    def sandbox_config(self, pod: Obj, attempt: int) -> Any:
        """The sandbox's configuration, and a warning about its resolver when there is one."""
        node = self._node
        resolver, warning = dns.of_pod(
            pod, node.host_resolver, cluster_dns=node.config.cluster_dns, domain=node.config.cluster_domain
        )
        if warning and attempt == 0:
            log.debug("%s", warning)
        return sandboxspec.build(pod, attempt, node.place(self.cgroup_parent), resolver)

    async def make_cgroup(self, pod: Obj) -> None:
        """The pod's own cgroup with its limits, where the host allows it."""
        node, config = self._node, self._node.config
        if not config.cgroups_per_qos or not node.facts.pod_cgroups:
            return
        path = cgroups.pod_path(
            config.cgroup_root, pods.compute_qos_class(pod), self._uid, systemd=node.facts.systemd_cgroups
        )
        if not node.facts.systemd_cgroups and not await self._set_limits(pod, path):
            node.facts.pod_cgroups = False
            return
        self.cgroup_parent = path

    async def _set_limits(self, pod: Obj, path: str) -> bool:
        config = self._node.config
        period = int(config.cpu_cfs_quota_period * 1_000_000)
        limits = resources.pod_limits(pod, cfs_quota=config.cpu_cfs_quota, period=period)
        return await asyncio.to_thread(cgroups.create, path, limits)

    async def resize_cgroup(self, pod: Obj) -> None:
        """Give the pod's own cgroup the limits that the pod has now."""
        if self.cgroup_parent and not self._node.facts.systemd_cgroups:
            await self._set_limits(pod, self.cgroup_parent)

    async def resize(self, pod: Obj, item: Resize) -> None:
        """Give one running container the resources of its specification. RuntimeFailure."""
        node = self._node
        values = resources.container_values(
            pod,
            item.spec,
            memory_capacity=node.facts.memory_capacity,
            cfs_quota=node.config.cpu_cfs_quota,
            period=int(node.config.cpu_cfs_quota_period * 1_000_000),
        )
        await uninterrupted(node.runtime.update_resources(item.container.id, pb.LinuxContainerResources(**values)))

    async def create_sandbox(self, pod: Obj, attempt: int) -> bool:
        """Run a new sandbox; whether it runs. Failures become events and a later try."""
        node = self._node
        try:
            await self.make_cgroup(pod)
            handler = await self._runtime_handler(pod)
            security.refuse_unsupported(pod, user_namespaces=node.facts.feature(handler, 1))
            config = self.sandbox_config(pod, attempt)
            await uninterrupted(node.runtime.run_sandbox(config, handler))
        except (RuntimeFailure, security.Refused, ApiError, Unreachable, OSError) as error:
            node.tell(pod, "", "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self._sandbox_delay = min(60.0, self._sandbox_delay * 2 or 1.0)
            self.retry_in(self._sandbox_delay)
            return False
        self._sandbox_delay = 0.0
        return True

    async def _runtime_handler(self, pod: Obj) -> str:
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        found = await self._node.client.get(RUNTIME_CLASSES, name)
        self._handler = str(found.get("handler") or "")
        return self._handler

    # ---- containers

    async def start(self, pod: Obj, kind: str, container: Obj, state: PodState) -> bool:
        """Start one container; whether it runs. Otherwise `waiting` says why not."""
        name = container["name"]
        if kind != EPHEMERAL and self._backs_off(pod, container, state):
            return False
        try:
            await self._start(pod, kind, container, state)
        except PullFailure as failure:
            self._failed(pod, name, failure.reason, failure.message, told=failure.reason)
            self.retry_in(failure.retry_after if failure.retry_after is not None else _LOOK_AGAIN)
            return False
        except (ConfigError, security.Refused) as error:
            self._failed(pod, name, "CreateContainerConfigError", str(error))
            self.retry_in(_LOOK_AGAIN)
            return False
        except _StepFailed as failure:
            self._failed(pod, name, failure.reason, failure.message, told=failure.told)
            self.retry_in(_LOOK_AGAIN)
            return False
        self.waiting.pop(name, None)
        return True

    def _failed(self, pod: Obj, name: str, reason: str, message: str, *, told: str | None = None) -> None:
        self.waiting[name] = (reason, message)
        if told != "":
            self._node.tell(pod, name, "Warning", "Failed", f"Error: {told or message}")

    def _backs_off(self, pod: Obj, container: Obj, state: PodState) -> bool:
        """Whether the container crashed too recently; counts the crash otherwise."""
        node, name = self._node, container["name"]
        last = next((c for c in state.attempts(name) if c.state == EXITED), None)
        if last is None:
            return False
        key = (self._uid, name, podspec.container_hash(container))
        left = node.crashes.remaining(key, last.finished_at)
        if left > 0:
            where = podspec.describe(pod)
            node.tell(pod, name, "Warning", "BackOff", f"Back-off restarting failed container {name} in pod {where}")
            delay = draw_duration(node.crashes.delay(key))
            message = f"back-off {delay} restarting failed container={name} pod={where}"
            self.waiting[name] = ("CrashLoopBackOff", message)
            self.retry_in(min(left, _LOOK_AGAIN))
            return True
        node.crashes.failed(key, last.finished_at)
        return False

    async def _start(self, pod: Obj, kind: str, container: Obj, state: PodState) -> None:
        node, name = self._node, container["name"]
        sandbox = state.sandbox
        assert sandbox is not None, "containers are started in a sandbox"
        sandbox_config = self.sandbox_config(pod, sandbox.attempt)

        def tell(kind: str, reason: str, message: str) -> None:
            node.tell(pod, name, kind, reason, message)

        image = await node.images.ensure(
            pod, container, tell, pull_secrets=await self._pull_secrets(pod), sandbox_config=sandbox_config
        )
        target = self._target(container, state) if kind == EPHEMERAL else ""
        config = await self._container_config(pod, kind, container, state, image, target)
        try:
            container_id = await uninterrupted(node.runtime.create_container(sandbox.id, config, sandbox_config))
        except RuntimeFailure as error:
            raise _StepFailed("CreateContainerError", error.message) from None
        tell("Normal", "Created", "Container created")
        try:
            await uninterrupted(node.runtime.start_container(container_id))
        except RuntimeFailure as error:
            raise _StepFailed("RunContainerError", error.message) from None
        tell("Normal", "Started", "Container started")
        await self._post_start(pod, container, container_id, sandbox.ips)

    def _target(self, container: Obj, state: PodState) -> str:
        wanted = container.get("targetContainerName")
        if not wanted:
            return ""
        found = state.container(wanted)
        if found is None or found.state != RUNNING:
            raise ConfigError(f'unable to find target container "{wanted}"')
        return found.id

    async def _pull_secrets(self, pod: Obj) -> list[Obj]:
        found = []
        for entry in pod["spec"].get("imagePullSecrets") or ():
            secret = await self._node.objects.get(SECRETS, pod["metadata"]["namespace"], entry.get("name") or "")
            if secret is not None:
                found.append(secret)
        return found

    async def _container_config(
        self, pod: Obj, kind: str, container: Obj, state: PodState, image: Any, target: str
    ) -> Any:
        node = self._node
        addresses = self.addresses(pod, state)
        services = environment.service_variables(
            node.services.list(), pod["metadata"]["namespace"], pod["spec"].get("enableServiceLinks") is not False
        )
        try:
            variables = await environment.build(
                pod,
                container,
                objects=node.objects.get,
                services=services,
                status=addresses,
                allocatable=node.facts.allocatable,
            )
        except (ApiError, Unreachable, TimeoutError) as error:
            raise ConfigError(str(error)) from None
        attempt = self._attempt(pod, container, state)
        mounts = await asyncio.to_thread(self._mounts, pod, container, variables, addresses)
        inputs = containerspec.Inputs(
            attempt=attempt,
            image=image,
            image_name=container.get("image", ""),
            environment=variables,
            mounts=mounts,
            labels=node.labels,
            seccomp_dir=node.seccomp_dir,
            memory_capacity=node.facts.memory_capacity,
            kind=kind,
            cfs_quota=node.config.cpu_cfs_quota,
            cpu_period=int(node.config.cpu_cfs_quota_period * 1_000_000),
            target=target,
        )
        return containerspec.build(pod, container, inputs)

    def _mounts(
        self, pod: Obj, container: Obj, variables: dict[str, str], addresses: dict[str, Any]
    ) -> list[containerspec.MountPoint]:
        node = self._node
        mounts = node.volumes.mount_points(
            pod, container, variables, recursive_read_only=node.facts.feature(self._handler, 0)
        )
        hostname, domain = sandboxspec.hostname(pod, node.facts.name, node.config.cluster_domain)
        text = hostsfile.text(pod, [entry["ip"] for entry in addresses["podIPs"]], hostname, domain)
        extra = [node.volumes.hosts_file(pod, container, text), node.volumes.termination_log(pod, container)]
        return [*mounts, *(mount for mount in extra if mount is not None)]

    def _attempt(self, pod: Obj, container: Obj, state: PodState) -> int:
        """How many of its name came before: the runtime knows, or else the logs they left."""
        newest = state.container(container["name"])
        if newest is not None:
            return newest.restart_count + 1
        folder = sandboxspec.log_directory(self._node.config.logs_dir, pod) / container["name"]
        numbers = [int(f.stem) for f in folder.glob("*.log") if f.stem.isdigit()] if folder.is_dir() else []
        return max(numbers) + 1 if numbers else 0

    async def _post_start(self, pod: Obj, container: Obj, container_id: str, ips: Any) -> None:
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        node, name = self._node, container["name"]
        try:
            await hooks.run(node.runtime, node.clock, pod, container, container_id, hook, ips[0] if ips else "")
        except hooks.HookFailed as failure:
            log.warning("%s", failure)
            node.tell(pod, name, "Warning", "FailedPostStartHook", "PostStartHook failed")
            try:
                status = await node.runtime.container_status(container_id)
                await stopping.stop_container(node, pod, status, ips[0] if ips else "", message="FailedPostStartHook")
            except RuntimeFailure as error:
                log.warning("cannot stop %s after its postStart hook failed: %s", name, error)
            raise _StepFailed("PostStartHookError", str(failure), told="") from None


class _StepFailed(Exception):
    """A container could not be made. told: what the event says after "Error: ", None for the message, "" for no event."""

    def __init__(self, reason: str, message: str, *, told: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.told = told
