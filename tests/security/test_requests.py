"""Requests made to mislead or to exhaust: framing, targets, headers, tokens of lists, selectors, connections."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.apiserver import Api
from tests.support.wire import Wire

CMS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(autouse=True)
def no_bug(caplog: pytest.LogCaptureFixture) -> Iterable[None]:
    """Nothing here may end in a logged traceback."""
    caplog.set_level(logging.ERROR)
    yield
    assert not caplog.records


def head(api: Api, line: str, *headers: str) -> bytes:
    lines = [line, "Host: x", f"Authorization: Bearer {api.token}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def codes(answer: bytes) -> list[int]:
    """The status of each answer in what a connection said."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


# -- one request must not become two

JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
FRAMINGS: tuple[tuple[tuple[str, ...], bytes], ...] = (
    (("Content-Length: 4", CHUNKED), b"0\r\n\r\n"),
    ((CHUNKED, "Content-Length: 0"), b"0\r\n\r\n"),
    (("Content-Length: 2", "Content-Length: 30"), b"{}"),
    (("Content-Length: +2",), b"{}"),
    (("Content-Length: 0x2",), b"{}"),
    (("Content-Length: -1",), b"{}"),
    (("Content-Length: \xb2",), b"{}"),
    (("Content-Length: 2, 2",), b"{}"),
    (("Transfer-Encoding: xchunked",), b"0\r\n\r\n"),
    (("Transfer-Encoding : chunked",), b"0\r\n\r\n"),
    (("Transfer-Encoding: identity, chunked, identity",), b"0\r\n\r\n"),
    ((CHUNKED,), b"-1\r\n"),
    ((CHUNKED,), b"f" * 40 + b"\r\n"),
    ((CHUNKED,), b"2 \n{}\r\n0\r\n\r\n"),
    (("X: a\r\n Content-Length: 2",), b"{}"),
    (("X: a\0b",), b""),
    (("Content-Length: " + "9" * 5000,), b"{}"),
)


@pytest.mark.parametrize(("headers", "body"), FRAMINGS)
async def test_nothing_is_smuggled_behind_an_ambiguous_length(api: Api, headers: tuple[str, ...], body: bytes) -> None:
    hidden = head(api, "GET /api/v1/namespaces/kube-system HTTP/1.1", "Connection: close")
    answer = await api.raw(head(api, f"POST {CMS} HTTP/1.1", JSON, *headers) + body + hidden)
    assert codes(answer)
    assert all(400 <= code < 500 for code in codes(answer)[:1])
    assert b'"name":"kube-system"' not in answer


UNENDING = {
    "line": b"GET /" + b"a" * 5_000_000,
    "method": b"A" * 5_000_000,
    "header": b"GET / HTTP/1.1\r\nX: " + b"a" * 5_000_000,
    "header name": b"GET / HTTP/1.1\r\n" + b"a" * 5_000_000 + b": b\r\n\r\n",
    "random": b"\x16\x03\x01" + os.urandom(10_000),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", UNENDING)
async def test_what_does_not_end_is_cut_off(api: Api, name: str) -> None:
    answer = b""
    with suppress(ConnectionError, ssl.SSLError):  # what is not read any more may be answered by a reset
        answer = await api.raw(UNENDING[name])
    assert not answer or 400 <= codes(answer)[0] < 500


async def test_floods_of_headers(api: Api) -> None:
    flood = [f"X-{at}: {'a' * 20}" for at in range(20_000)]
    groups = [f"Impersonate-Group: g{at}" for at in range(2000)]
    for headers in (flood, ["Impersonate-User: a", *groups], ["Accept: " + "application/json;a=b," * 40_000]):
        answer = b""
        with suppress(ConnectionError, ssl.SSLError):
            answer = await api.raw(head(api, f"GET {CMS} HTTP/1.1", "Connection: close", *headers))
        assert not answer or codes(answer)[0] in (200, 400, 403, 431)
    assert (await api.get(CMS)).code == 200


TOKENS = ("a" * 500_000, "." * 500_000, ".".join(["a" * 200_000] * 3), "\xff", "e30.e30.x", " ")


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: repr(token[:6]))
async def test_odd_bearer_tokens(api: Api, token: str) -> None:
    lines = f"GET {CMS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    answer = await api.raw(lines.encode("latin-1"))
    assert codes(answer)[0] in (400, 401, 403)
    assert token[:100].encode("latin-1") not in answer or len(token) < 10


async def test_thousands_of_pipelined_requests(api: Api) -> None:
    one = head(api, "GET /version HTTP/1.1")
    answer = await api.raw(one * 2000 + head(api, "GET /version HTTP/1.1", "Connection: close"), seconds=60)
    assert codes(answer) == [200] * 2001


# -- targets


TARGETS = (
    *(CMS + "/" + text for text in ("%2e%2e/" * 8000, "%zz", "%00", "%ff")),
    *(
        "/" + text
        for text in ("a" * 60_000, "a/" * 30_000, "/", "%2f", "readyz/" + "x" * 60_000, "openapi/v3/" + "a/" * 20_000)
    ),
    *("*", "http:///x", "http://[::1"),
    "/api/v1/nodes/x:99999999999/proxy/",
    *(
        "/api/v1/namespaces/default/" + text
        for text in (
            "pods/x:\xb2/proxy/",
            "services/http:x:" + "9" * 5000 + "/proxy/",
            "pods/x/portforward?ports=" + "1," * 20_000,
            "pods/x/log?tailLines=" + "9" * 5000,
        )
    ),
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[-20:])
async def test_odd_targets(api: Api, target: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "FOO"):
        answer = await api.raw(head(api, f"{method} {target} HTTP/1.1", "Connection: close", "Content-Length: 0"))
        assert 400 <= codes(answer)[0] < 500


QUERIES = (
    "labelSelector=" + ",".join(f"a{at}" for at in range(7000)),
    "labelSelector=a+in+(" + ",".join(f"v{at}" for at in range(8000)) + ")",
    "fieldSelector=" + ",".join(f"metadata.name%3Da{at}" for at in range(2500)),
    *("labelSelector=" + sign * 60_000 for sign in "(!,=<"),
    "labelSelector=a%3E" + "9" * 60_000,
    "labelSelector=a%3E%C2%B2",
    "fieldSelector=metadata.name%3D" + "%5C" * 20_000,
    "fieldSelector=" + "=" * 60_000,
    "timeout=" + "1" * 60_000,
    "timeout=" + "1s" * 20_000,
    "limit=" + "9" * 60_000,
    "limit=%C2%B2",
    "resourceVersion=" + "9" * 60_000,
    "resourceVersion=%C2%B2",
    "&".join(f"a{at}=1" for at in range(8000)),
    "labelSelector=%ff%fe&fieldSelector=%00",
)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:24])
async def test_odd_queries(api: Api, query: str) -> None:
    async with Wire.to(api) as wire:
        for extra in ("", "&watch=1&timeoutSeconds=1&resourceVersion=0", "&limit=1"):
            for path in (CMS, "/api/v1/pods"):
                answer = await wire.ask(wire.request("GET", f"{path}?{query}{extra}"))
                # The original has no better word for a watch from a revision that is no number.
                if answer.code == 500:
                    assert "watch" in f"{query}{extra}"
                    assert "resourceVersion: Invalid value" in answer.body["message"]
                    continue
                assert answer.code in (200, 400)


# -- continue tokens


def token(fields: Any) -> str:
    raw = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def of_list(**fields: Any) -> str:
    return token({"v": "meta.k8s.io/v1", **fields})


FORGED = (
    *("!!!", "\xfc", token(b"abc"), token([1]), token({"v": 1}), token({"v": ["x"]}), token(b"[" * 40_000)),
    *(of_list(rv=revision, start="a") for revision in ("1", True, 1.5, 0)),
    *(of_list(rv=5, start=start) for start in (["a"], "", "../../secrets/x", "../kube-system/a", "a/../b")),
    token(b'{"v":"meta.k8s.io/v1","rv":' + b"9" * 5000 + b',"start":"a"}'),
    token(b'{"v":"meta.k8s.io/v1","rv":5,"start":"\\ud800"}'),
)


@pytest.mark.parametrize("forged", FORGED)
async def test_forged_continue_tokens(api: Api, forged: str) -> None:
    async with Wire.to(api) as wire:
        for path in (CMS, "/api/v1/configmaps", "/api/v1/nodes"):
            answer = await wire.ask(wire.request("GET", f"{path}?limit=1&continue={quote(forged)}"))
            assert answer.code == 400
            assert answer.message.startswith("invalid continue token")


async def test_altered_continue_tokens(api: Api) -> None:
    """A token that was given, with one character changed, goes on in the same list or is refused."""
    for at in range(4):
        await api.post(CMS, {"metadata": {"name": f"n{at}"}})
    given = (await api.get(CMS, limit=1)).body["metadata"]["continue"]
    for at in range(0, len(given), 3):
        for char in "A9_":
            answer = await api.get(CMS, **{"continue": given[:at] + char + given[at + 1 :], "limit": 1})
            assert answer.code in (200, 400, 410, 504)
            if answer.code == 200:
                assert all(item["metadata"]["namespace"] == "default" for item in answer.body["items"])


# -- connections


async def test_half_open_and_idle_connections_hold_nobody_up(api: Api) -> None:
    port = api.server.port
    bare = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(300)))
    idle = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port, ssl=api.tls) for _ in range(100)))
    slow = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port, ssl=api.tls) for _ in range(100)))
    for _, writer in slow:
        writer.write(head(api, f"POST {CMS} HTTP/1.1", JSON, "Content-Length: 1000") + b"{")
    assert (await api.post(CMS, {"metadata": {"name": "a"}})).code == 201
    assert (await api.get(CMS)).code == 200
    for _, writer in (*bare, *idle, *slow):
        writer.transport.abort()


async def test_many_watches(api: Api) -> None:
    connections = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.tls) for _ in range(300))
    )
    for _, writer in connections:
        writer.write(head(api, f"GET {CMS}?watch=1&fieldSelector=metadata.name%3Dseen HTTP/1.1"))
    for reader, _ in connections:
        await reader.readuntil(b"\r\n\r\n")
    assert (await api.post(CMS, {"metadata": {"name": "seen"}})).code == 201
    for reader, writer in connections:
        assert b'"ADDED"' in await asyncio.wait_for(reader.readuntil(b"\n"), 30) + await reader.readuntil(b"\n")
        writer.transport.abort()
