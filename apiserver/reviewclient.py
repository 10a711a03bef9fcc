"""Asking the server of a kubeconfig for its opinion: a review object is posted to exactly that URL, and comes back answered.

    client = ReviewClient(path, "authorization.k8s.io/v1", "SubjectAccessReview", clock)      ConfigError
    status = await client.ask(spec, told)                                                     ReviewFailed

For the webhooks of authentication and authorization, and for ImagePolicyWebhook. What may pass (500, 429, 504, a connection that is
reset) is tried again with growing pauses; told hears of every attempt. Errors are worded as the original's client words them.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from apimachinery import clock as clocks
from apimachinery.clock import Clock
from apimachinery.field import go_quote
from apimachinery.filewatch import Followed
from apiserver import outbound
from apiserver.configscheme import ConfigError, file_error, parse_object
from client import kubeconfig
from openapi import codec, schemas
from openapi.scalars import format_duration

Obj = dict[str, Any]
Told = Callable[[str, int, float], None]  # result, status code (0: no answer), seconds

ATTEMPTS = 5
FACTOR, JITTER = 1.5, 0.2
_SENT_AGAIN = 10  # times that the server may ask, with Retry-After, to be asked again
_MAX_ANSWER = 1 << 20  # bytes
_UNANSWERED: Obj = {"allowed": False}
SUCCESS, TIMEOUT, ERROR, CANCELED = "success", "timeout", "error", "canceled"


class ReviewFailed(Exception):
    """No usable answer; the text says why. result: "timeout" or "error". again: whether another attempt may help."""

    def __init__(self, text: str, *, code: int = 0, result: str = ERROR, again: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.result = result
        self.again = again


def load(path: Path) -> kubeconfig.Credentials:
    """The credentials of a kubeconfig. ConfigError."""
    try:
        path.stat()
    except OSError as error:
        raise ConfigError(file_error(error, "stat")) from None
    try:
        return kubeconfig.load(path)
    except kubeconfig.KubeconfigError as error:
        raise ConfigError(f"invalid configuration: {str(error).removeprefix(f'{path}: ')}") from None


@dataclass(frozen=True, slots=True)
class _Server:
    """Who is asked, and as whom."""

    credentials: kubeconfig.Credentials
    tls: ssl.SSLContext
    url: str


def _server(path: Path, timeout: str) -> tuple[_Server, list[Path]]:
    """What a kubeconfig says, and the files that say it. ConfigError."""
    credentials = load(path)
    try:
        tls = credentials.ssl_context()
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"unable to load root certificates: {error}") from None
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    server = credentials.server if credentials.server.count("/") > 2 else credentials.server + "/"
    url = f"{server}{'&' if '?' in server else '?'}timeout={timeout}"
    return _Server(credentials, tls, url), kubeconfig.files(path)


class ReviewClient:
    """Connections to one server, kept between reviews. Close it.

    The kubeconfig and the certificates it names are read again as they are renewed.
    """

    def __init__(
        self,
        path: Path,
        api_version: str,
        kind: str,
        clock: Clock,
        *,
        timeout: float = 30.0,
        backoff: float = 0.5,
        status: Obj | None = _UNANSWERED,
        type_of: str = "",
    ) -> None:
        """timeout: seconds of one attempt. backoff: before the second. status: the empty answer that is sent along.

        type_of: the apiVersion whose type answers have, when api_version is one that this server does not itself serve.
        """
        shown = format_duration(int(timeout * 1e9))
        self._followed = Followed(clock, lambda: _server(path, shown))
        self._head: Obj = {"kind": kind, "apiVersion": api_version, "metadata": {}}
        name = f"{type_of or api_version}/{kind}"
        self._type = schemas.load().type(name) if schemas.load().has(name) else None
        self._status = status
        self._clock = clock
        self._timeout = timeout
        self._backoff = backoff
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0
        self._closing = False

    async def close(self) -> None:
        """Once the last question that is under way is answered."""
        self._closing = True
        if self._session is not None and not self._under_way:
            await self._session.close()
            self._session = None

    async def ask(self, spec: Obj, told: Told | None = None) -> Obj:
        """The status of the answer."""
        self._under_way += 1
        try:
            return await self._ask(spec, told)
        finally:
            self._under_way -= 1
            if self._closing:
                await self.close()

    async def _ask(self, spec: Obj, told: Told | None) -> Obj:
        review = {**self._head, "spec": spec, **({"status": self._status} if self._status else {})}
        body = orjson.dumps(review) + b"\n"
        wait = self._backoff
        for attempt in range(1, ATTEMPTS + 1):
            begun = self._clock.monotonic()
            try:
                answer, code = await self._attempt(body)
            except ReviewFailed as error:
                if told is not None:
                    told(error.result, error.code, self._clock.monotonic() - begun)
                if not error.again or attempt == ATTEMPTS:
                    raise
            except asyncio.CancelledError:
                if told is not None:
                    told(CANCELED, 0, self._clock.monotonic() - begun)
                raise
            else:
                if told is not None:
                    told(SUCCESS, code, self._clock.monotonic() - begun)
                return answer
            await self._clock.sleep(wait * (1 + JITTER * random.random()))
            wait *= FACTOR
        raise AssertionError("unreachable")

    async def _attempt(self, body: bytes) -> tuple[Obj, int]:
        server = await self._followed.current()
        try:
            async with clocks.timeout(self._clock, self._timeout):
                for sent in range(_SENT_AGAIN + 1):
                    code, answer, media_type, after = await self._post(server, body)
                    if after is None or sent == _SENT_AGAIN:
                        break
                    await self._clock.sleep(after)
        except TimeoutError:
            raise ReviewFailed(f'Post "{server.url}": context deadline exceeded', result=TIMEOUT) from None
        except (aiohttp.ClientError, OSError) as error:
            name = server.credentials.server_name or server.url
            reset = isinstance(error, ConnectionResetError)
            raise ReviewFailed(f'Post "{server.url}": {outbound.words(error, name)}', again=reset) from error
        if not 200 <= code <= 206:
            result = TIMEOUT if code == 504 else ERROR
            again = code == 429 or (code >= 500 and code != 503)
            raise ReviewFailed(outbound.status_words(code, answer, media_type), code=code, result=result, again=again)
        return self._decoded(code, answer, media_type), code

    async def _post(self, server: _Server, body: bytes) -> tuple[int, bytes, str, float | None]:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
            )
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        token = server.credentials.token
        if server.credentials.token_file:
            token = (await asyncio.to_thread(Path(server.credentials.token_file).read_text)).strip()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self._session.post(
            server.url,
            data=body,
            headers=headers,
            ssl=server.tls,
            server_hostname=server.credentials.server_name,
            allow_redirects=False,
        ) as response:
            pieces = []
            size = 0
            while piece := await response.content.read(_MAX_ANSWER):
                size += len(piece)
                if size > _MAX_ANSWER:
                    raise aiohttp.ClientPayloadError("the answer is too large")
                pieces.append(piece)
            after = response.headers.get("Retry-After", "")
            wants = (response.status == 429 or response.status >= 500) and after.isdigit()
            media_type = response.headers.get("Content-Type", "")
            return response.status, b"".join(pieces), media_type, float(after[:9]) if wants else None

    def _decoded(self, code: int, raw: bytes, media_type: str) -> Obj:
        def unusable(text: str) -> ReviewFailed:
            return ReviewFailed(text, code=code)

        if not raw:
            raise unusable(f"0-length response with status code: {code} and content type: {media_type}")
        try:
            parsed = parse_object(raw)
        except ConfigError as error:
            raise unusable(str(error)) from None
        obj = parsed.obj
        kind, version = obj.get("kind") or self._head["kind"], obj.get("apiVersion") or self._head["apiVersion"]
        if kind == "Status" and obj.get("status") == "Failure":
            raise unusable(outbound.status_words(code, raw))
        if (kind, version) != (self._head["kind"], self._head["apiVersion"]):
            raise unusable(self._other(str(kind), str(version)))
        if self._type is not None:
            try:
                obj, _ = codec.decode(self._type, parsed)
            except codec.DecodeError as error:
                raise unusable(str(error)) from None
        status = obj.get("status") or {}
        return status if isinstance(status, dict) else {}

    def _other(self, kind: str, version: str) -> str:
        """What is said of an answer that is no answer to what was asked."""
        wanted = f"{self._head['apiVersion'].rpartition('/')[2]}.{self._head['kind']}"
        if schemas.load().has(f"{version}/{kind}") or kind == self._head["kind"]:
            return f"converting ({version.rpartition('/')[2]}.{kind}) to ({wanted}): unknown conversion"
        return f"no kind {go_quote(kind)} is registered for version {go_quote(version)} in scheme {_SCHEME}"


_SCHEME = '"k8s.io/client-go/kubernetes/scheme/register.go:82"'
