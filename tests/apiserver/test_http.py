"""The HTTP side of the server: sizes, encodings, odd requests, discovery, health, and how it ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re

import pytest

from apimachinery.clock import RealClock
from apiserver import server
from apiserver.app import FILTERS
from tests.support.apiserver import Api

CMS = "/api/v1/namespaces/default/configmaps"


def head(api: Api, method: str, path: str, *lines: str) -> bytes:
    """A raw request that closes its connection."""
    sent = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {api.token}", "Connection: close", *lines]
    return ("\r\n".join(sent) + "\r\n\r\n").encode()


def test_the_order_of_filters() -> None:
    names = [name for name, _ in FILTERS]
    assert names == ["errors", "metrics", "deadline", "authn", "audit", "impersonation", "fairness", "authz"]


async def test_refusals_are_not_to_be_sniffed(api: Api) -> None:
    for headers in ({"Impersonate-User": "nobody"}, {"Impersonate-Group": "without a user"}):
        async with api.session.get(
            api.url + CMS, headers={"Authorization": f"Bearer {api.token}", **headers}
        ) as response:
            assert response.status in (400, 403)
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_bodies_have_a_limit(api: Api) -> None:
    big = b'{"metadata":{"name":"a"},"data":{"k":"' + b"x" * (3 << 20) + b'"}}'
    told = await api.ask("POST", CMS, big)
    assert (told.code, told.reason) == (413, "RequestEntityTooLarge")
    assert told.message == "Request entity too large: limit is 3145728"

    async def pieces() -> object:
        for at in range(0, len(big), 65536):
            yield big[at : at + 65536]

    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    async with api.session.post(api.url + CMS, data=pieces(), headers=headers) as response:
        assert response.status == 413


async def test_compressed_bodies_are_read_and_bombs_are_not(api: Api) -> None:
    body = gzip.compress(b'{"metadata":{"name":"a"}}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert (await api.ask("POST", CMS, body, headers=headers)).code == 201
    bomb = gzip.compress(b" " * (64 << 20))
    assert (await api.ask("POST", CMS, bomb, headers=headers)).code == 413
    assert (await api.ask("POST", CMS, body[:-9], headers=headers)).code == 400
    assert (await api.ask("POST", CMS, b"\x00\x01", headers=headers)).code == 400
    assert (await api.ask("POST", CMS, body, headers={**headers, "Content-Encoding": "br"})).code == 415


async def test_a_client_that_waits_for_permission_to_send_gets_it(api: Api) -> None:
    body = b'{"metadata":{"name":"a"}}'
    lines = ("Expect: 100-continue", "Content-Type: application/json", f"Content-Length: {len(body)}")
    answer = await api.raw(head(api, "POST", CMS, *lines) + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n")


async def test_an_over_long_header_is_refused_without_being_repeated(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "s3cr3t" * 200_000
    with caplog.at_level(logging.DEBUG):
        answer = await api.raw(head(api, "GET", CMS, f"X-Token: {secret}"))
    assert answer.split(b" ", 2)[1] in (b"400", b"431")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["kind"] == "Status"
    assert b"s3cr3t" not in answer
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nA b: c\r\n\r\n"],
)
async def test_what_is_no_http_is_answered_and_closed(api: Api, garbage: bytes) -> None:
    answer = await api.raw(garbage)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 405"))


async def test_unknown_methods_and_paths(api: Api) -> None:
    assert b"405 Method Not Allowed" in await api.raw(head(api, "FOO", CMS))
    assert (await api.ask("OPTIONS", CMS)).code == 405
    assert (await api.ask("HEAD", CMS)).code == 405
    nowhere = await api.get("/nosuch")
    assert (nowhere.code, nowhere.raw) == (404, b"404 page not found\n")
    assert (await api.get("/api/v1/nosuch")).body["details"] == {}
    assert (await api.get("/api/v1/namespaces/default/nodes")).code == 404
    assert (await api.get("/api/v1/pods/p")).code == 404
    assert (await api.delete("/api/v1/configmaps")).code == 405


async def test_an_absolute_target_and_an_old_client(api: Api) -> None:
    absolute = await api.raw(head(api, "GET", "https://elsewhere/version"))
    assert b'"gitVersion": "v1.36.2+steersman"' in absolute
    old = f"GET /version HTTP/1.0\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode()
    assert b"Connection: close\r\n" in await api.raw(old)


async def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    one = f"GET /version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode()
    answer = await api.raw(one + head(api, "GET", "/readyz"))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"ok")


async def test_own_time_limits(api: Api) -> None:
    assert (await api.get(CMS, timeout="5s")).code == 200
    assert (await api.get(CMS, timeout="1m30s")).code == 200
    assert (await api.get(CMS, timeout="soon")).code == 400


# -- what the server tells of itself


async def test_discovery_both_ways(api: Api) -> None:
    groups = (await api.get("/apis")).body
    assert groups["groups"][0]["name"] == "apiregistration.k8s.io"
    apps = (await api.get("/apis/apps/v1")).body
    assert {"deployments", "deployments/status", "deployments/scale"} <= {entry["name"] for entry in apps["resources"]}
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    aggregated = await api.ask("GET", "/apis", headers={"Accept": accept})
    assert aggregated.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert aggregated.body["kind"] == "APIGroupDiscoveryList"
    etag = aggregated.headers["Etag"]
    again = await api.ask("GET", "/apis", headers={"Accept": accept, "If-None-Match": etag})
    assert (again.code, again.raw) == (304, b"")


async def test_health_is_for_everyone_and_says_what_it_checked(api: Api) -> None:
    api.token = ""
    assert (await api.ask("GET", "/livez", headers={"Authorization": ""})).raw == b"ok"
    api.token = "admintoken"
    verbose = (await api.get("/readyz", verbose="")).raw
    assert b"[+]poststarthook/rbac/bootstrap-roles ok\n" in verbose
    assert verbose.endswith(b"readyz check passed\n")
    assert (await api.get("/readyz/ping")).raw == b"ok"
    assert (await api.get("/readyz/nosuch")).code == 404
    excluded = (await api.get("/livez", verbose="", exclude="etcd")).raw
    assert b"[+]etcd excluded: ok\n" in excluded
    api.server.info.ending = True
    failed = await api.get("/readyz")
    assert failed.code == 500
    assert b"[-]shutdown failed: reason withheld\n" in failed.raw


async def test_metrics_count_requests_and_objects(api: Api) -> None:
    await api.post(CMS, {"metadata": {"name": "a"}})
    await api.get("/api/v1/namespaces/default/nosuch/x")
    text = (await api.get("/metrics")).raw.decode()
    assert 'apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps"' in text
    assert re.search(r'apiserver_storage_objects\{resource="configmaps"\} [1-9]', text)
    assert "nosuch" not in text
    assert "# TYPE apiserver_request_duration_seconds histogram\n" in text


async def test_root_version_and_debugging_paths(api: Api) -> None:
    assert {"/api", "/apis/apps/v1", "/metrics", "/version"} <= set((await api.get("/")).body["paths"])
    assert (await api.get("/version")).body["minor"] == "36"
    assert b"kube-apiserver statusz" in (await api.get("/statusz")).raw
    assert b"\nkubelet-preferred-address-types=InternalIP,Hostname,ExternalIP\n" in (await api.get("/flagz")).raw


async def test_the_end_comes_soon_and_lets_requests_finish(api: Api) -> None:
    writes = [asyncio.ensure_future(api.post(CMS, {"metadata": {"name": f"n{at}"}})) for at in range(20)]
    await asyncio.sleep(0.01)
    begun = asyncio.get_running_loop().time()
    await api.server.end()
    assert asyncio.get_running_loop().time() - begun < 3
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(answer, BaseException) or answer.code in (201, 503) for answer in answers)


class Hasty(RealClock):
    """A clock whose sleeps are over at once."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def test_a_background_worker_that_fails_starts_again(caplog: pytest.LogCaptureFixture) -> None:
    runs, clock = 0, Hasty()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise KeyError("spec")

    await server._keep_running("stumbler", work, clock)
    assert runs == 3
    assert "stumbler failed and starts again" in caplog.text
