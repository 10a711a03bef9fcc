"""The node agent: registers a Node and runs the pods that are bound to it. What kubelet is.

    run(config, ready)     until cancelled; ready is called once the node is registered and its API is served

Order: runtime (found or started), API, node, network, pods. Containers outlive the agent: when it starts again it finds
them by their labels and leaves them as they are. Nothing but the HTTP API is used to know what is to run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from apimachinery import pods
from apimachinery.clock import RealClock
from client.api import Client
from client.events import EventRecorder
from client.informer import Informer, Informers
from client.resources import NODES, PODS, SERVICES
from nodeagent import certificates, containerd, dns, machine, nodestatus, pause, runtime
from nodeagent.backoff import Backoff
from nodeagent.config import Config
from nodeagent.containerd import Choice
from nodeagent.context import NodeContext, NodeFacts
from nodeagent.images import ImagePuller
from nodeagent.logrotation import LogRotation
from nodeagent.network import cni
from nodeagent.network import host as host_network
from nodeagent.node import Node
from nodeagent.objects import ReferencedObjects
from nodeagent.observer import Observer
from nodeagent.probes import Probes
from nodeagent.runtime import Runtime, RuntimeFailure
from nodeagent.server import NodeServer
from nodeagent.statuswriter import StatusWriter
from nodeagent.volumes.manager import ImaginaryVolumes, VolumeManager
from nodeagent.volumes.tokens import Tokens
from nodeagent.worker import PodWorker

log = logging.getLogger(__name__)

Obj = dict[str, Any]

USER_AGENT = f"kubelet/{nodestatus.VERSION} (linux/amd64) steersman"
_AGAIN = 1.0
_CNI_CONF_DIR = "/etc/cni/net.d"


async def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Be a node until cancelled. RuntimeMissing, KubeconfigError, OSError (port taken) say why it cannot."""
    choice = await asyncio.to_thread(containerd.discover, config.runtime, config.root_dir)
    if choice.note:
        log.warning("%s", choice.note)
    async with asyncio.TaskGroup() as group:
        await _run(config, choice, group, ready)


async def _run(config: Config, choice: Choice, group: asyncio.TaskGroup, ready: Callable[[], None]) -> None:
    name = machine.node_name(config.hostname_override)
    labels = {runtime.CLUSTER: containerd.instance_id(config.root_dir), runtime.NODE: name}
    async with AsyncExitStack() as stack:
        serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if choice.kind == "private":
            await _start_private(config, group, serving)
        else:
            serving.set_result(None)
        await certificates.join_cluster(config, name, USER_AGENT)
        client = await stack.enter_async_context(
            Client.from_kubeconfig(config.kubeconfig, clock=config.clock, user_agent=USER_AGENT)
        )
        recorder = await stack.enter_async_context(EventRecorder(client, "kubelet", config.clock, name))
        await serving
        source = await _open_runtime(config, choice, labels)
        stack.push_async_callback(source.close)
        agent = Agent(config, choice, client, recorder, source, name, labels)
        await agent.run(ready)


async def _start_private(config: Config, group: asyncio.TaskGroup, serving: asyncio.Future[None]) -> None:
    place = containerd.private(config.root_dir)
    config.root_dir.mkdir(parents=True, exist_ok=True)
    await containerd.end_stale(place, RealClock())

    def up() -> None:
        if not serving.done():
            serving.set_result(None)

    log_file = str(config.root_dir / "containerd.log")
    group.create_task(containerd.supervise(place, RealClock(), log_file=log_file, ready=up), name="containerd")


async def _open_runtime(config: Config, choice: Choice, labels: dict[str, str]) -> Runtime:
    """The runtime, answering, with its sandbox image in place."""
    if choice.kind == "simulated":
        from nodeagent.simulated import SimulatedRuntime

        return SimulatedRuntime(config.clock)
    from nodeagent.cri.client import CriClient

    client = CriClient(choice.socket, labels)
    info = await _answering(client)
    log.info("container runtime: %s %s at %s", info.name, info.version, choice.socket)
    if info.name == "containerd":
        from nodeagent import imageload

        # On a shared containerd the configured image wins; ours stands in where it is missing and no registry is near.
        wanted = pause.NAME if choice.kind == "private" else await client.sandbox_image() or pause.NAME
        try:
            await imageload.load_pause(choice.socket, wanted, clock=RealClock())
        except imageload.LoadError as error:
            log.warning("the built-in sandbox image is not loaded: %s", error)
    return client


async def _answering(client: Any) -> runtime.RuntimeInfo:
    """The runtime's own description, once it answers; a runtime that was just started needs a moment."""
    clock = RealClock()
    for _ in range(600):
        try:
            info: runtime.RuntimeInfo = await client.info()
            return info
        except RuntimeFailure as error:
            if error.code == "Unimplemented":
                raise containerd.RuntimeMissing(
                    f"the runtime at {client.socket} does not speak CRI v1 (is its CRI plugin disabled, as Docker does?)"
                ) from None
            last = error
        await clock.sleep(0.05)
    raise containerd.RuntimeMissing(f"the container runtime at {client.socket} does not answer: {last}")


class Agent:
    """One node. Its tasks live in run()."""

    def __init__(
        self,
        config: Config,
        choice: Choice,
        client: Client,
        recorder: EventRecorder,
        source: Runtime,
        name: str,
        labels: dict[str, str],
    ) -> None:
        self._config = config
        self._choice = choice
        self._client = client
        self._recorder = recorder
        self._runtime = source
        self._labels = labels
        addresses = [a.strip() for a in config.node_ip.split(",") if a.strip()] or [machine.host_address()]
        self.facts = NodeFacts(name=name, host_ips=addresses)
        self.observer = Observer(source, self._wake, period=config.relist_period)
        self._informers = Informers(client)
        self._pods = self._informers.get(PODS, field_selector=f"spec.nodeName={name}")
        self.context: NodeContext | None = None

    # ---- the pieces

    def _wake(self, uid: str) -> None:
        worker = self.context.workers.get(uid) if self.context else None
        if worker is not None:
            worker.wake()

    def _build_context(self, group: asyncio.TaskGroup, services: Informer, volumes: VolumeManager) -> NodeContext:
        config, client, source = self._config, self._client, self._runtime
        parallel = 1 if config.serialize_image_pulls else config.max_parallel_image_pulls
        context = NodeContext(
            config=config,
            clock=config.clock,
            real=RealClock(),
            client=client,
            runtime=source,
            facts=self.facts,
            recorder=self._recorder,
            observer=self.observer,
            images=ImagePuller(source, config.clock, parallel=parallel),
            probes=Probes(source, config.clock, changed=self._wake, tell=self._tell),
            volumes=volumes,
            objects=ReferencedObjects(client, self._informers, self._wake),
            tokens=Tokens(client, config.clock),
            statuses=StatusWriter(client, config.clock),
            crashes=Backoff(config.clock, 10.0, config.max_container_backoff),
            services=services,
            host_resolver=dns.read_host(config.resolv_conf),
            labels=self._labels,
            seccomp_dir=config.root_dir / "seccomp",
            group=group,
        )
        context.active_pods = self._active_pods
        return context

    def _tell(self, pod: Obj, container: str, kind: str, reason: str, message: str) -> None:
        if self.context is not None:
            self.context.tell(pod, container, kind, reason, message)

    def _active_pods(self) -> list[Obj]:
        assert self.context is not None
        workers = self.context.workers.values()
        return [worker.pod for worker in workers if worker.active and not pods.is_terminal(worker.pod)]

    # ---- running

    async def run(self, ready: Callable[[], None]) -> None:
        config = self._config
        simulated = self._choice.kind == "simulated"
        kind = ImaginaryVolumes if simulated else VolumeManager
        volumes = kind(config.pods_dir, containerd.run_dir(config.root_dir) / "volumes", config.clock)
        self.facts.pod_cgroups = not simulated
        await asyncio.to_thread(volumes.prepare)
        services = self._informers.get(SERVICES)
        own_node = self._informers.get(NODES, field_selector=f"metadata.name={self.facts.name}")
        async with asyncio.TaskGroup() as group:
            self.context = context = self._build_context(group, services, volumes)
            server = NodeServer(config, context, self._client, pods=self._pods.list)
            await server.start()
            node = Node(
                config,
                self._client,
                self._runtime,
                self.observer,
                self._recorder,
                self.facts,
                informer=own_node,
                set_up_network=self._simulate_network if simulated else self._set_up_network,
                port=lambda: server.port,
            )
            try:
                group.create_task(self._informers.run(), name="informers")
                group.create_task(self.observer.run("" if simulated else self._choice.socket), name="pleg")
                group.create_task(context.statuses.run(), name="pod statuses")
                await _seen_once(self.observer)
                await node.register()
                group.create_task(node.run(), name="node")
                group.create_task(server.follow_files(), name="serving certificate files")
                self._renew_certificates(group, server)
                if not simulated:
                    group.create_task(self._rotation().run(), name="log rotation")
                self._recorder.event(_node_reference(self.facts.name), "Normal", "Starting", "Starting kubelet.")
                await self._informers.wait_synced()
                self._adopt(group)
                self._pods.add_handler(
                    added=lambda pod: self._pod_changed(pod, group),
                    updated=lambda _, pod: self._pod_changed(pod, group),
                    deleted=self._pod_removed,
                )
                ready()
                log.info("node %s is registered, serving on port %d", self.facts.name, server.port)
                await asyncio.get_running_loop().create_future()
            finally:
                await server.stop()
                await self.observer.close()

    def _renew_certificates(self, group: asyncio.TaskGroup, server: NodeServer) -> None:
        """Keep the certificates current that the cluster signs for this node; others are their owner's to renew."""
        config, folder = self._config, self._config.root_dir / "pki"
        mine = folder / certificates.CLIENT_FILE

        async def use_serving_certificate() -> None:
            await server.use_certificate(folder / certificates.SERVING_FILE)

        if config.rotate_certificates and mine.exists():
            wanted = certificates.client_wanted(self.facts.name)
            renewal = certificates.Renewal(self._client, mine, lambda: wanted)  # the client follows the file
            group.create_task(renewal.run(), name="client certificate")
        if config.rotate_server_certificates:
            renewal = certificates.Renewal(
                self._client,
                folder / certificates.SERVING_FILE,
                lambda: certificates.serving_wanted(self.facts.name, self.facts.host_ips),
                use_serving_certificate,
            )
            group.create_task(renewal.run(), name="serving certificate")

    def _rotation(self) -> LogRotation:
        config = self._config
        return LogRotation(
            self._runtime,
            self.observer,
            config.clock,
            max_size=config.container_log_max_size,
            max_files=config.container_log_max_files,
        )

    # ---- pods

    def _adopt(self, group: asyncio.TaskGroup) -> None:
        """What the runtime holds and the API does not know has to end."""
        assert self.context is not None
        known = {pod["metadata"]["uid"] for pod in self._pods.list()}
        if self._choice.kind == "simulated":
            self._restore_simulated()
        for uid in self.observer.known():
            if uid and uid not in known:
                log.info("ending pod %s, which the API no longer has", uid)
                self._start_worker(uid, PodWorker(self.context, None, uid), group)
        for uid in self.context.volumes.known_pods() - known - set(self.observer.known()):
            group.create_task(self._clean_volumes(uid), name=f"volumes of {uid}")

    async def _clean_volumes(self, uid: str) -> None:
        assert self.context is not None
        try:
            await asyncio.to_thread(self.context.volumes.teardown, uid)
        except OSError as error:
            log.warning("what pod %s left behind cannot be removed: %s", uid, error)

    def _restore_simulated(self) -> None:
        from nodeagent.simulated import SimulatedRuntime

        assert isinstance(self._runtime, SimulatedRuntime)
        for pod in self._pods.list():
            self._runtime.restore(pod)

    def _pod_changed(self, pod: Obj, group: asyncio.TaskGroup) -> None:
        assert self.context is not None
        uid = pod["metadata"]["uid"]
        worker = self.context.workers.get(uid)
        if worker is not None:
            worker.update(pod)
            return
        self._start_worker(uid, PodWorker(self.context, pod, uid), group)

    def _pod_removed(self, pod: Obj) -> None:
        assert self.context is not None
        worker = self.context.workers.get(pod["metadata"]["uid"])
        if worker is not None:
            worker.removed(pod)

    def _start_worker(self, uid: str, worker: PodWorker, group: asyncio.TaskGroup) -> None:
        assert self.context is not None
        self.context.workers[uid] = worker
        group.create_task(self._work(uid, worker, group), name=f"pod {worker.pod['metadata'].get('name')}")

    async def _work(self, uid: str, worker: PodWorker, group: asyncio.TaskGroup) -> None:
        """A worker's edge: what it did not foresee is logged with its story, and a new worker looks at the pod afresh."""
        assert self.context is not None
        try:
            await worker.run()
        except Exception:
            log.exception("the worker of pod %s failed", uid)
            await self._config.clock.sleep(_AGAIN)
        self.context.probes.stop(uid)
        if self.context.workers.get(uid) is worker:
            del self.context.workers[uid]
        current = next((pod for pod in self._pods.list() if pod["metadata"]["uid"] == uid), None)
        if current is not None and not worker.finished:
            self._pod_changed(current, group)

    # ---- network

    async def _simulate_network(self, ranges: list[str]) -> str | None:
        await self._runtime.update_pod_cidr(ranges[0])
        return None

    async def _set_up_network(self, ranges: list[str]) -> str | None:
        """Prepare the host and tell the runtime of the pod range; why it failed, or None."""
        try:
            conf_dir = containerd.private(self._config.root_dir).cni_conf_dir
            if self._choice.kind != "private":
                conf_dir = Path(await self._runtime.cni_conf_dir() or _CNI_CONF_DIR)
            return await asyncio.to_thread(self._prepare_host, ranges, conf_dir)
        except (host_network.HostNetworkError, RuntimeFailure, OSError) as error:
            log.warning("cannot set up the pod network: %s", error)
            return f"cannot set up the pod network: {error}"

    def _prepare_host(self, ranges: list[str], conf_dir: Path) -> str | None:
        config = self._config
        instance = containerd.instance_id(config.root_dir)
        foreign = "" if self._choice.kind == "private" else cni.foreign_configuration(conf_dir)
        if foreign:
            log.info("the runtime has a pod network of its own (%s), which is left as it is", foreign)
            return None
        known = host_network.Ranges(
            tuple(ranges),
            tuple(cidr for cidr in config.cluster_cidr.split(",") if cidr),
            tuple(cidr for cidr in config.service_cluster_ip_range.split(",") if cidr),
        )
        host_network.prepare(instance, known, containerd.run_dir(config.root_dir) / "network.json")
        ipam = containerd.run_dir(config.root_dir) / "ipam"
        document = cni.conflist(instance, ranges, mtu=host_network.default_mtu(), ipam_dir=str(ipam))
        if cni.write(conf_dir, document):
            log.info("pod network: %s on bridge %s", ", ".join(ranges), cni.bridge_name(instance))
        return None


def _node_reference(name: str) -> Obj:
    return {"kind": "Node", "apiVersion": "v1", "name": name, "uid": name}


async def _seen_once(observer: Observer) -> None:
    """Wait until the runtime was listed once: only then is it known what runs."""
    clock = RealClock()
    while observer.last_relist == 0.0:
        await clock.sleep(0.01)
