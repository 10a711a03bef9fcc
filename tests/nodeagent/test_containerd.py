# ruff: noqa: ASYNC240 (a test may wait for its own few files)
"""A private containerd for real: started, given images, running a sandbox and containers, heard, restarted, taken away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery.clock import RealClock, wait_for
from nodeagent import archive, containerd, imageload, images, pause, reset, runtime
from nodeagent.config import Config
from nodeagent.containerd import Private
from nodeagent.cri import runtime_pb2 as pb
from nodeagent.cri.client import CriClient
from nodeagent.observer import Observer
from nodeagent.runtime import EXITED, RUNNING, PodState, RuntimeFailure
from tests.support import images as image_builder
from tests.support import machine

pytestmark = pytest.mark.skipif(bool(machine.why_no_containers()), reason=machine.why_no_containers())

NAME = "example.com/tests/busybox:1"
CLOCK = RealClock()
LABELS = {runtime.CLUSTER: "test", runtime.NODE: "n"}


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Private]:
    """The private containerd of a directory, running for the length of the block."""
    root.mkdir(parents=True, exist_ok=True)
    place = containerd.private(root)
    up = asyncio.Event()
    task = asyncio.create_task(
        containerd.supervise(place, CLOCK, log_file=str(root / "containerd.log"), ready=up.set), name="containerd"
    )
    try:
        await wait_for(CLOCK, up.wait(), 30)
        yield place
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def client_of(place: Private) -> AsyncIterator[CriClient]:
    client = CriClient(place.socket, LABELS)
    try:
        for _ in range(200):
            try:
                await client.info()
                break
            except RuntimeFailure:
                await CLOCK.sleep(0.05)
        yield client
    finally:
        await client.close()


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Path]:
    """A directory for one containerd, of which nothing is left on the host afterwards."""
    folder = tmp_path / "node"
    yield folder
    await reset.reset(Config(kubeconfig=tmp_path / "none", root_dir=folder))
    run_dir = containerd.run_dir(folder)
    assert not run_dir.exists()


def sandbox_config(uid: str) -> Any:
    """A sandbox on the host's network, which needs no CNI."""
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name="p", namespace="ns", uid=uid),
        log_directory="/tmp",
        labels={**LABELS, runtime.POD_UID: uid},
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent="/kubepods/steersman-tests",
            security_context=pb.LinuxSandboxSecurityContext(namespace_options=pb.NamespaceOption(network=pb.NODE)),
        ),
    )


async def start(client: CriClient, sandbox: str, config: Any, name: str, *command: str) -> str:
    made = await client.create_container(
        sandbox,
        pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name),
            image=pb.ImageSpec(image=NAME),
            command=command,
            labels=dict(config.labels),
            log_path=f"{name}.log",
        ),
        config,
    )
    await client.start_container(made)
    return made


async def until(observer: Observer, uid: str, container_id: str, state: str) -> PodState:
    """The pod's view once the observer has, by itself, seen the container in that state."""
    for _ in range(400):
        seen = observer.state(uid)
        if any(c.id == container_id and c.state == state for c in seen.containers):
            return seen
        await CLOCK.sleep(0.01)
    raise AssertionError(f"{container_id} is not {state}: {observer.state(uid)}")


async def test_containers_in_a_private_containerd(root: Path, tmp_path: Path) -> None:
    tar = image_builder.build(tmp_path / "image.tar", NAME)
    async with serving(root) as place, client_of(place) as client:
        await imageload.load_pause(place.socket, pause.NAME, clock=CLOCK)
        assert await images.load_archive(tar, root_dir=root) == [NAME]
        assert await images.load_archive(tar, root_dir=root) == [NAME]
        found = await client.image_status(NAME)
        assert found is not None
        assert NAME in found.tags
        info = await client.info()
        assert info.name == "containerd"
        assert info.systemd_cgroups is not None

        changed: list[str] = []
        observer = Observer(client, changed.append)
        config = sandbox_config("uid-1")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(observer.run(place.socket))
            sandbox = await client.run_sandbox(config)
            script = "echo hello; trap 'exit 5' TERM; while true; do sleep 0.1; done"
            made = await start(client, sandbox, config, "c", "sh", "-c", script)
            await observer.refresh("uid-1")
            await until(observer, "uid-1", made, RUNNING)
            done = await client.exec_sync(made, ["sh", "-c", "echo out; echo err >&2; exit 3"], 5)
            assert (done.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
            with pytest.raises(RuntimeFailure) as late:
                await client.exec_sync(made, ["sleep", "30"], 1)
            assert late.value.code == "DeadlineExceeded"
            await client.stop_container(made, 10)
            ended = (await until(observer, "uid-1", made, EXITED)).container("c")
            assert ended is not None
            assert (ended.exit_code, ended.reason) == (5, "Error")
            brief = await start(client, sandbox, config, "brief", "true")
            await until(observer, "uid-1", brief, EXITED)
            watching.cancel()
        assert "uid-1" in changed
        await observer.close()
        await client.stop_sandbox(sandbox)
        await client.remove_sandbox(sandbox)
        assert await client.list_sandboxes() == []


async def test_containers_outlive_their_containerd(root: Path, tmp_path: Path) -> None:
    tar = image_builder.build(tmp_path / "image.tar", NAME)
    config = sandbox_config("uid-2")
    async with serving(root) as place, client_of(place) as client:
        await imageload.load_pause(place.socket, pause.NAME, clock=CLOCK)
        await images.load_archive(tar, root_dir=root)
        sandbox = await client.run_sandbox(config)
        made = await start(client, sandbox, config, "c", "sleep", "1000")
        pid = containerd._listener(place)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        for _ in range(400):
            fresh = containerd._listener(place)
            if fresh not in (None, pid):
                break
            await CLOCK.sleep(0.02)
    async with serving(root) as place, client_of(place) as client:
        assert (await client.container_status(made)).state == RUNNING
        assert [s.id for s in await client.list_sandboxes("uid-2")] == [sandbox]
    # What is left running now is what the fixture's reset has to end.
    assert await client_count(root) == 1


async def client_count(root: Path) -> int:
    """Shims that serve this directory's containerd."""
    address = containerd.private(root).socket.encode()
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                count += address in (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
    return count


async def test_a_broken_archive_changes_nothing(root: Path, tmp_path: Path) -> None:
    tar = image_builder.build(tmp_path / "image.tar", NAME)
    torn = tmp_path / "torn.tar"
    torn.write_bytes(tar.read_bytes()[: 200 * 1024])
    async with serving(root) as place:
        with pytest.raises(images.ImageError, match="is not an image archive"):
            await images.load_archive(torn, root_dir=root)
        with archive.open_archive(str(tar)) as opened:
            assert len(opened.images(pause.native().oci)) == 1
        async with client_of(place) as client:
            assert await client.image_status(NAME) is None


async def test_loading_needs_a_running_containerd(root: Path, tmp_path: Path) -> None:
    tar = image_builder.build(tmp_path / "image.tar", NAME)
    root.mkdir()
    with pytest.raises(images.ImageError):
        await images.load_archive(tar, root_dir=root, runtime=f"cri={tmp_path}/none.sock")
