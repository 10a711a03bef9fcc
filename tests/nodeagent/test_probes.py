"""Probes: thresholds, initial results, gating by startup, on a clock that stands still; handlers against real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from apimachinery.clock import ControlledClock
from nodeagent import handlers
from nodeagent.handlers import FAILURE, SUCCESS, UNKNOWN
from nodeagent.probes import Probes
from nodeagent.runtime import ExecResult
from nodeagent.simulated import SimulatedRuntime
from tests.nodeagent.pods import container, holds, pod, ran

Obj = dict[str, Any]


class Scripted(SimulatedRuntime):
    """Commands end as told; canned probes are off, so that commands are really asked for."""

    def __init__(self, clock: ControlledClock) -> None:
        super().__init__(clock)
        self.code = 0
        self.asked: list[str] = []

    def canned_probe(self, pod: Any, container_id: str, kind: str) -> bool | None:
        return None

    async def exec_sync(self, container_id: str, command: Any, timeout: float) -> ExecResult:
        self.asked.append(command[0])
        return ExecResult(self.code, b"out", b"err")


class Bench:
    """One running container with probes."""

    def __init__(self, **probes: Obj) -> None:
        self.clock = ControlledClock(start=111.0)
        self.runtime = Scripted(self.clock)
        self.changed: list[str] = []
        self.told: list[str] = []
        self.probes = Probes(
            self.runtime,
            self.clock,
            changed=self.changed.append,
            tell=lambda p, c, kind, reason, text: self.told.append(f"{reason}: {text}"),
        )
        self.spec = pod({**container(), **probes})
        self.state = holds(ran())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            self.probes.sync(self.spec, self.state, group)
            await self.clock.advance(0)
            yield
            self.probes.stop(self.spec["metadata"]["uid"])

    @property
    def ready(self) -> bool:
        return self.probes.ready(self.spec["spec"]["containers"][0], self.state.containers[0])

    @property
    def started(self) -> bool:
        return self.probes.started(self.spec["spec"]["containers"][0], self.state.containers[0])


def command(name: str = "check", **fields: Any) -> Obj:
    return {"exec": {"command": [name]}, "periodSeconds": 10, **fields}


async def test_readiness_needs_an_answer_and_then_its_thresholds() -> None:
    bench = Bench(readinessProbe=command(successThreshold=2, failureThreshold=2))
    async with bench.running():
        assert not bench.ready
        await bench.clock.advance(10)
        assert bench.ready
        bench.runtime.code = 1
        await bench.clock.advance(10)
        assert bench.ready
        await bench.clock.advance(10)
        assert not bench.ready
    assert bench.told == ["Unhealthy: Readiness probe failed: outerr"] * 2
    assert len(bench.changed) == 2


async def test_liveness_is_good_until_it_failed_often_enough() -> None:
    bench = Bench(livenessProbe=command(failureThreshold=3, initialDelaySeconds=5))
    bench.runtime.code = 1
    async with bench.running():
        failed = bench.probes.health().liveness_failed
        await bench.clock.advance(4)
        assert bench.runtime.asked == []
        await bench.clock.advance(21)
        assert not failed("c-0") or len(bench.runtime.asked) == 3
        await bench.clock.advance(10)
        assert failed("c-0")
        await bench.clock.advance(100)
        assert len(bench.runtime.asked) == 3


async def test_others_wait_for_startup() -> None:
    bench = Bench(startupProbe=command("boot", failureThreshold=9), readinessProbe=command("serve"))
    bench.runtime.code = 1
    async with bench.running():
        await bench.clock.advance(15)
        assert set(bench.runtime.asked) == {"boot"}
        assert not bench.started
        bench.runtime.code = 0
        await bench.clock.advance(10)
        assert bench.started
        await bench.clock.advance(2)
        assert bench.ready
        asked = bench.runtime.asked.count("boot")
        await bench.clock.advance(60)
        assert bench.runtime.asked.count("boot") == asked


async def test_what_was_ready_before_a_restart_stays_ready() -> None:
    bench = Bench(readinessProbe=command(initialDelaySeconds=60))
    bench.spec["status"]["containerStatuses"] = [{"name": "c", "containerID": "containerd://c-0", "ready": True}]
    async with bench.running():
        assert bench.ready


@asynccontextmanager
async def site() -> AsyncIterator[int]:
    async def serve(request: web.BaseRequest) -> web.Response:
        if request.path == "/bad":
            return web.Response(status=500, text="broken")
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": "/ok"})
        return web.Response(text=request.headers.get("X-Probe", request.headers["User-Agent"]))

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_http() -> None:
    async with site() as port:
        one = container(ports=[{"name": "web", "containerPort": port}])
        good = await handlers.get_http({"port": "web", "path": "/ok"}, one, "127.0.0.1", 5)
        assert (good.result, good.output[:10]) == (SUCCESS, "kube-probe")
        headers = [{"name": "X-Probe", "value": "1"}]
        assert (await handlers.get_http({"port": port, "httpHeaders": headers}, one, "127.0.0.1", 5)).output == "1"
        assert (await handlers.get_http({"port": port, "path": "/moved"}, one, "127.0.0.1", 5)).result == SUCCESS
        bad = await handlers.get_http({"port": port, "path": "/bad"}, one, "127.0.0.1", 5)
        assert (bad.result, bad.output) == (FAILURE, "HTTP probe failed with statuscode: 500")
        assert (await handlers.open_port("127.0.0.1", port, 5)).result == SUCCESS
    closed = await handlers.get_http({"port": port}, one, "127.0.0.1", 5)
    assert closed.output == f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    tcp = await handlers.open_port("127.0.0.1", port, 5)
    assert tcp.output == f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert (await handlers.get_http({"port": "nope"}, one, "127.0.0.1", 5)).result == UNKNOWN


async def test_grpc_health() -> None:
    import grpc
    import grpc.aio

    class Health(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            if details.method != "/grpc.health.v1.Health/Check":
                return None

            async def check(request: bytes, context: Any) -> bytes:
                return b"\x08\x02" if b"sick" in request else b"\x08\x01"

            return grpc.unary_unary_rpc_method_handler(check)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Health(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert (await handlers.ask_grpc("127.0.0.1", port, "", 5)).result == SUCCESS
        sick = await handlers.ask_grpc("127.0.0.1", port, "sick", 5)
        assert sick.output == 'service unhealthy (responded with "NOT_SERVING")'
    finally:
        await server.stop(0)
    assert (await handlers.ask_grpc("127.0.0.1", port, "", 1)).result == FAILURE
