"""Sends raw requests over TLS: header by header as told, bodies as they are; nothing of a client library in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from tests.parity.scenario import Loader

Obj = dict[str, Any]
AGENT = "parity/1.0"  # its first word becomes the field manager
TOKENS = {"admin": "admintoken", "plain": "plaintoken", "node": "nodetoken", "nobody": "no-such-token"}
_LARGE = 100_000  # bytes; the server may answer and close while such a body is under way


@dataclass(frozen=True)
class Request:
    """user: whose token; anonymous sends none. target: path and query. A header of None is not sent."""

    user: str
    method: str
    target: str
    headers: dict[str, str | None]
    body: bytes | None

    def lines(self) -> dict[str, str]:
        """The headers to send."""
        headers: dict[str, str | None] = {"User-Agent": AGENT, "Accept": "application/json"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.user != "anonymous":
            headers["Authorization"] = "Bearer " + TOKENS[self.user]
        return {name: value for name, value in (headers | self.headers).items() if value is not None}


class Client:
    """Connections to one server: a lasting one for ordinary requests, one of its own for a watch or a large body."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self.port, self.tls = port, tls
        self.lasting = self._connection()

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.tls)

    def close(self) -> None:
        self.lasting.close()

    def ask(self, request: Request) -> Obj:
        """{code, type, warnings, challenge, body} of the answer."""
        if request.body is not None and len(request.body) > _LARGE:
            with contextlib.closing(self._connection()) as connection:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._send(connection, request)
                return _answer(connection.getresponse())
        for attempt in (1, 2):
            fresh = self.lasting.sock is None
            try:
                self._send(self.lasting, request)
                return _answer(self.lasting.getresponse())
            except (ConnectionError, ssl.SSLEOFError):  # the server had ended the idle connection
                self.lasting.close()
                if fresh or attempt == 2:
                    raise
        raise AssertionError

    def _send(self, connection: http.client.HTTPSConnection, request: Request) -> None:
        connection.request(request.method, request.target, body=request.body, headers=request.lines())

    @contextmanager
    def watch(self, request: Request) -> Iterator[Watch]:
        """An open watch."""
        with contextlib.closing(self._connection()) as connection:
            self._send(connection, request)
            sock = connection.sock
            yield Watch(connection.getresponse(), sock)


class Watch:
    """The answer to a watch request: events if it was accepted."""

    def __init__(self, response: http.client.HTTPResponse, sock: socket.socket) -> None:
        self.response, self.sock = response, sock
        self.accepted = response.status == 200

    def refusal(self) -> Obj:
        """The answer when there are no events."""
        return _answer(self.response)

    def events(self, count: int, seconds: float) -> Obj:
        """The answer with at most `count` events, as many as come in that time."""
        found: list[Any] = []
        deadline = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError, http.client.HTTPException, json.JSONDecodeError):
            while len(found) < count and time.monotonic() < deadline:
                self.sock.settimeout(max(0.05, deadline - time.monotonic()))
                line = self.response.readline()
                if not line:
                    break
                found.append(json.loads(line))
        return {**_head(self.response), "events": found}


def _head(response: http.client.HTTPResponse) -> Obj:
    head: Obj = {"code": response.status, "type": response.headers.get("Content-Type")}
    if "Warning" in response.headers:
        head["warnings"] = response.headers.get_all("Warning")
    if "WWW-Authenticate" in response.headers:
        head["challenge"] = response.headers["WWW-Authenticate"]
    return head


def _answer(response: http.client.HTTPResponse) -> Obj:
    raw = response.read()
    answer = _head(response)
    answer["body"] = _decoded(raw, answer["type"] or "")
    return answer


def _decoded(raw: bytes, media_type: str) -> Any:
    with contextlib.suppress(ValueError, yaml.YAMLError):
        if "json" in media_type:
            return json.loads(raw)
        if "yaml" in media_type:
            return yaml.load(raw, Loader)
    return raw.decode("utf-8", "replace")
