"""The API server's speed over TLS: gets, creates, patches, lists, watch events. Each row also says what the server's own
process spent, since the load generator shares the machine's cores with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import load, serve
from bench.load import Connection, Target, request

NAMESPACE = "/api/v1/namespaces/default"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One line of the table. aim: what the project promises, in the same unit; 0 for none."""

    name: str
    value: float
    unit: str
    aim: float = 0
    note: str = ""


def pod(name: str) -> bytes:
    """A pod as a workload controller makes them."""
    container = {
        "name": "app",
        "image": "registry.example/app:1",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
    }
    meta = {"name": name, "labels": {"app": "bench", "tier": "web"}, "annotations": {"note": "x" * 64}}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}).encode()


def config_map(name: str) -> bytes:
    data = {f"key{at}": "v" * 40 for at in range(5)}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).encode()


class Server:
    """A server to measure: its address, how long it took to be ready, and what its processes use."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], target: Target, ready_seconds: float) -> None:
        self.processes = processes
        self.target = target
        self.ready_seconds = ready_seconds

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        total = 0
        for process in self.processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def memory(self) -> float:
        """Megabytes resident in proportion (Pss)."""
        return sum(pss(process.pid) for process in self.processes)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(90)


def pss(pid: int) -> float:
    """A process's memory in MB, shared pages counted by share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(data: Path) -> Iterator[Server]:
    """An API server process of our own."""
    port = free_port()
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serve", str(data), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("the server did not start; its errors are above")
    target = Target(port, serve.TOKEN, str(data / "pki" / "ca.crt"))
    running = Server([process], target, time.perf_counter() - begun)
    try:
        yield running
    finally:
        running.stop()


def rate(running: Server, name: str, make: object, *, aim: float = 0, seconds: float = 3.0) -> Row:
    """Requests a second on 16 connections."""
    before = running.cpu()
    outcome = load.drive(running.target, make, seconds=seconds)  # type: ignore[arg-type]
    spent = running.cpu() - before
    note = f"{spent / outcome.answers * 1e6:.0f} µs of the server each"
    if outcome.failed:
        note += f", {outcome.failed} FAILED"
    return Row(name, outcome.answers / outcome.seconds, "/s", aim, note)


def rows(start: Callable[[Path], AbstractContextManager[Server]] = server) -> Iterator[Row]:
    """Measure everything, in an order that leaves the right objects behind. start: how a server is started on a folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data = Path(folder)
        with start(data) as first:
            yield Row("first start", first.ready_seconds, "s", 2.5)
        with start(data) as running:
            yield Row("start", running.ready_seconds, "s", 1.0)
            yield Row("memory when idle", running.memory(), "MB")
            yield from _requests(running)
            yield from _lists(running)
            yield from _shares(running)
            yield asyncio.run(_watches(running))
            yield Row("memory afterwards", running.memory(), "MB")


def _requests(running: Server) -> Iterator[Row]:
    target = running.target
    account = b'{"metadata":{"name":"default"}}'
    asyncio.run(_once(target, request(target, "POST", f"{NAMESPACE}/serviceaccounts", account)))

    def creates(kind: str, body: object, namespace: str = NAMESPACE) -> object:
        def make(number: int) -> Iterator[bytes]:
            at = 0
            while True:
                at += 1
                yield request(target, "POST", f"{namespace}/{kind}", body(f"{kind[:2]}-{number}-{at}"))  # type: ignore[operator]

        return make

    yield rate(running, "ConfigMap creates", creates("configmaps", config_map), aim=2360)
    yield rate(running, "pod creates", creates("pods", pod), aim=1500)
    yield rate(running, "pod creates in a quota", creates("pods", pod, asyncio.run(_quota(target))))

    def gets(number: int) -> Iterator[bytes]:
        raw = request(target, "GET", f"{NAMESPACE}/pods/po-{number}-1")
        while True:
            yield raw

    yield rate(running, "pod gets", gets, aim=10000)

    def patches(number: int) -> Iterator[bytes]:
        at = 0
        while True:
            at += 1
            body = b'{"data":{"key1":"%d"}}' % at
            path = f"{NAMESPACE}/configmaps/co-{number}-1"
            yield request(target, "PATCH", path, body, "application/merge-patch+json")

    yield rate(running, "ConfigMap patches", patches, aim=1790)


async def _once(target: Target, raw: bytes) -> None:
    connection = await Connection.open(target)
    await connection.ask(raw)
    connection.close()


async def _quota(target: Target) -> str:
    """The path of a new namespace whose quota counts pods and what they ask for, as its controller would have begun it."""
    hard = {"pods": "1000000", "requests.cpu": "1000000", "requests.memory": "1000Ti", "count/pods": "1000000"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": {"hard": hard}}
    status = {**quota, "status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
    path = "/api/v1/namespaces/counted"
    connection = await Connection.open(target)
    for method, where, body in (
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "counted"}}),
        ("POST", f"{path}/serviceaccounts", {"metadata": {"name": "default"}}),
        ("POST", f"{path}/resourcequotas", quota),
        ("PUT", f"{path}/resourcequotas/all/status", status),
    ):
        await connection.ask(request(target, method, where, json.dumps(body).encode()))
    connection.close()
    return path


def _lists(running: Server) -> Iterator[Row]:
    raw = request(running.target, "GET", f"{NAMESPACE}/pods?limit=2000")

    def lists(number: int) -> Iterator[bytes]:
        while True:
            yield raw

    before = running.cpu()
    outcome = load.drive(running.target, lists, seconds=3)
    spent = running.cpu() - before
    size = outcome.size / 1e6
    note = f"{outcome.size / outcome.answers / 1e6:.1f} MB each, {size / spent:.0f} MB per second of the server"
    yield Row("lists of 2,000 pods", size / outcome.seconds, "MB/s", 500, note)


def _shares(running: Server, connections: int = 64) -> Iterator[Row]:
    """How long one client's gets take beside another who lists everything on many connections."""
    target = running.target
    subjects = [
        {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name} for name in ("greedy", "modest")
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = json.dumps({"metadata": {"name": "bench"}, "roleRef": role, "subjects": subjects}).encode()
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    asyncio.run(_once(target, request(target, "POST", path, binding)))
    greedy, modest = replace(target, token=serve.GREEDY), replace(target, token=serve.MODEST)
    raw = request(greedy, "GET", f"{NAMESPACE}/pods?labelSelector=app%3Dnone")

    def lists(number: int) -> Iterator[bytes]:
        while True:
            yield raw

    alone = asyncio.run(_latency(modest, seconds=1))
    with ThreadPoolExecutor(1) as pool:
        abuse = pool.submit(load.drive, greedy, lists, connections=connections, seconds=4)
        time.sleep(1)
        beside = asyncio.run(_latency(modest, seconds=2.5))
        outcome = abuse.result()
    note = f"median; {alone:.1f} alone; the other lists on {connections} connections, {outcome.failed} of its "
    note += f"{outcome.answers} requests were refused"
    yield Row("get beside an abuser", beside, "ms", 50, note)


async def _latency(target: Target, seconds: float) -> float:
    """The median milliseconds of a get on one connection."""
    connection = await Connection.open(target)
    raw = request(target, "GET", f"{NAMESPACE}/pods/po-0-1")
    taken = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        await connection.ask(raw)
        taken.append(time.perf_counter() - begun)
    connection.close()
    return sorted(taken)[len(taken) // 2] * 1000


async def _watches(running: Server, watchers: int = 200, writes: int = 400) -> Row:
    """Events that reach 200 watchers of one resource while it is written to."""
    target = running.target
    path = f"{NAMESPACE}/configmaps?watch=1&resourceVersion=0&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    connections = [await Connection.open(target) for _ in range(watchers)]
    got = 0
    wanted = watchers * writes
    done = asyncio.Event()

    async def read(connection: Connection) -> None:
        nonlocal got
        connection.writer.write(request(target, "GET", path))
        await connection.reader.readuntil(b"\r\n\r\n")
        tail = b""
        while not done.is_set():
            seen = tail + await connection.reader.read(1 << 20)
            got += seen.count(b'{"type":')
            tail = seen[-7:]  # an event's opening may be torn between two reads
            if got >= wanted:
                done.set()

    tasks = [asyncio.ensure_future(read(connection)) for connection in connections]
    await asyncio.sleep(1)
    before, begun = running.cpu(), time.perf_counter()
    writer = [await Connection.open(target) for _ in range(8)]

    async def write(number: int) -> None:
        for at in range(writes // len(writer)):
            raw = request(target, "POST", f"{NAMESPACE}/configmaps", config_map(f"watched-{number}-{at}"))
            await writer[number].ask(raw)

    await asyncio.gather(*(write(number) for number in range(len(writer))))
    await asyncio.wait_for(done.wait(), 60)
    seconds, spent = time.perf_counter() - begun, running.cpu() - before
    for task in tasks:
        task.cancel()
    note = f"{watchers} watchers, {spent / got * 1e6:.1f} µs of the server each"
    return Row("watch events", got / seconds, "/s", 50000, note)
