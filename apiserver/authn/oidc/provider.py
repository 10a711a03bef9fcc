"""An issuer as its discovery document describes it: the keys it signs with, and tokens verified by them.

Keys are fetched when a token names one that is not known, one fetch at a time whoever asks, and kept as long as the issuer's
Cache-Control says. An issuer that says nothing is asked again for every unknown key: then a bucket of fetches keeps those who
send tokens with made-up keys from making this server attack the issuer.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import aiohttp
import orjson
from multidict import CIMultiDictProxy
from yarl import URL

from apimachinery import clock as clocks
from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.field import go_quote
from apimachinery.tokenbucket import TokenBucket
from apiserver import outbound
from apiserver.authn import jose
from apiserver.authn.base import quoted
from apiserver.authn.oidc import claims as decoding

log = logging.getLogger(__name__)

_GRACE = 30  # seconds before keys expire from which on they may be fetched again
_TIMEOUT = 30.0
_MAX_DOCUMENT = 4 * 1024 * 1024
_BURST, _PER_SECOND = 10, 1.0  # fetches of keys
_LEEWAY = 60  # seconds by which a token may be from the future
_WELL_KNOWN = "/.well-known/openid-configuration"

Spawn = Callable[[Coroutine[Any, Any, None], str], object]


class ProviderError(Exception):
    """What is wrong with an issuer or a token of it; the text is the original's and holds no secret."""


class Observer(Protocol):
    """Who is told of fetches of keys."""

    def keys_fetched(self, document: bytes | None) -> None:
        """document: the key set as it came, None when the fetch failed."""


class HttpClient:
    """GETs over TLS that trusts one bundle (PEM; "": the machine's)."""

    def __init__(self, authority: str, clock: Clock) -> None:
        self._tls = ssl.create_default_context(cadata=authority or None)
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, token: str = "") -> tuple[int, str, bytes, CIMultiDictProxy[str]]:
        """(status, its text, body, headers). ProviderError when there is no answer."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(trust_env=True, cookie_jar=aiohttp.DummyCookieJar())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with (
                clocks.timeout(self._clock, _TIMEOUT),
                self._session.get(url, headers=headers, ssl=self._tls) as response,
            ):
                body = await response.content.read(_MAX_DOCUMENT + 1)
                while len(body) <= _MAX_DOCUMENT and (more := await response.content.read(_MAX_DOCUMENT + 1)):
                    body += more
                if len(body) > _MAX_DOCUMENT:
                    raise ProviderError(f'Get "{url}": the answer is larger than {_MAX_DOCUMENT} bytes')
                return response.status, f"{response.status} {response.reason}", body, response.headers
        except TimeoutError as error:
            raise ProviderError(f'Get "{url}": context deadline exceeded') from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderError(f'Get "{url}": {outbound.words(error, _host(url))}') from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _host(url: str) -> str:
    try:
        return URL(url).host or ""
    except ValueError:
        return url


async def discover(http: HttpClient, issuer: str, discovery_url: str = "") -> str:
    """The URL of the issuer's keys. ProviderError."""
    status, body, headers = await _fetch(http, discovery_url or issuer.removesuffix("/") + _WELL_KNOWN)
    if not status.startswith("200 "):
        raise ProviderError(f"{status}: {_shown(body)}")
    document = _json(body, headers, "oidc: failed to decode provider discovery object: ")
    found = document.get("issuer") or ""
    if found != issuer:
        told = f"expected {go_quote(issuer)} got {go_quote(str(found))}"
        raise ProviderError(f"oidc: issuer did not match the issuer returned by provider, {told}")
    keys = document.get("jwks_uri") or ""
    if not keys or not isinstance(keys, str):
        raise ProviderError("provider did not return JWKS URL")
    return keys


async def _fetch(http: HttpClient, url: str) -> tuple[str, bytes, CIMultiDictProxy[str]]:
    _, status, body, headers = await http.get(url)
    return status, body, headers


def _json(body: bytes, headers: CIMultiDictProxy[str], words: str) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise ValueError(f"json: cannot unmarshal {decoding.kind_of(document)} into Go value of a struct")
    except ValueError as error:
        kind = headers.get("Content-Type", "")
        if kind.partition(";")[0].strip().lower() == "application/json":
            problem = f"got Content-Type = application/json, but could not unmarshal as JSON: {error}"
        else:
            problem = f"expected Content-Type = application/json, got {go_quote(kind)}: {error}"
        raise ProviderError(words + problem) from error
    return document


def _shown(body: bytes) -> str:
    """What an issuer answered, as far as a log can bear it."""
    return body[:1024].decode("utf-8", "replace")


class KeySet:
    """The keys of one issuer. spawn: starts a task that outlives the request that needs the keys."""

    def __init__(
        self, http: HttpClient, url: str, clock: Clock, spawn: Spawn, observer: Observer | None = None
    ) -> None:
        self._http = http
        self._url = url
        self._clock = clock
        self._spawn = spawn
        self._observer = observer
        self._keys: list[jose.Foreign] = []
        self._expires = 0.0
        self._fetching: asyncio.Future[list[jose.Foreign]] | None = None
        self._fetches = TokenBucket(clock, _PER_SECOND, _BURST)

    async def verify(self, token: jose.Signed) -> bytes:
        """The payload of a token that one of the keys signed. ProviderError."""
        if any(map(token.is_by, self._keys)):
            return token.payload
        if self._clock.time() + _GRACE <= self._expires or not self._may_fetch():
            raise ProviderError("failed to verify signature: failed to verify id token signature")
        try:
            keys = await self._fetched()
        except ProviderError as error:
            raise ProviderError(f"failed to verify signature: fetching keys {error}") from error
        if any(map(token.is_by, keys)):
            return token.payload
        raise ProviderError("failed to verify signature: failed to verify id token signature")

    def _may_fetch(self) -> bool:
        """Of fetches that somebody else began, everybody may have the outcome."""
        return self._fetching is not None or self._fetches.take()

    async def _fetched(self) -> list[jose.Foreign]:
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_future()
            self._spawn(self._fetch(self._fetching), "issuer-keys")
        return await asyncio.shield(self._fetching)

    async def _fetch(self, waiting: asyncio.Future[list[jose.Foreign]]) -> None:
        problem = ProviderError("context canceled")  # when the issuer is no longer configured
        try:
            self._keys, self._expires = await self._updated()
            waiting.set_result(self._keys)
        except ProviderError as error:
            problem = error
        finally:
            self._fetching = None
            if not waiting.done():
                waiting.set_exception(problem)
                waiting.exception()  # whoever waited may have gone

    async def _updated(self) -> tuple[list[jose.Foreign], float]:
        try:
            status, body, headers = await _fetch(self._http, self._url)
            if not status.startswith("200 "):
                raise ProviderError(f"oidc: get keys failed: {status} {_shown(body)}")
            document = _json(body, headers, "oidc: failed to decode keys: ")
            try:
                keys = await asyncio.to_thread(jose.parse_key_set, document)
            except ValueError as error:
                raise ProviderError(f"oidc: failed to decode keys: {error}") from error
        except ProviderError:
            self._observe(None)
            raise
        self._observe(body)
        return keys, _expiry(headers, self._clock.time())

    def _observe(self, document: bytes | None) -> None:
        if self._observer is not None:
            self._observer.keys_fetched(document)


def _expiry(headers: CIMultiDictProxy[str], now: float) -> float:
    """Until when an answer may be kept by what it says; now, when it says nothing."""
    directives = {}
    for part in ",".join(headers.getall("Cache-Control", [])).split(","):
        name, _, value = part.strip().partition("=")
        directives[name.lower()] = value.strip('" ')
    if {"no-store", "no-cache", "private"} & directives.keys():
        return now
    for name in ("s-maxage", "max-age"):
        if (age := directives.get(name, "")).isdigit():
            return now + min(int(age), 10**9)
    try:
        return max(now, parsedate_to_datetime(headers.get("Expires", "")).timestamp())
    except (ValueError, TypeError):
        return now


class Verifier:
    """Tokens of one issuer for some audiences."""

    def __init__(
        self, keys: KeySet, issuer: str, audiences: Sequence[str], algorithms: Sequence[str], clock: Clock
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._algorithms = tuple(algorithms)
        self._clock = clock

    async def claims(self, token: str) -> decoding.Claims:
        """The claims of a token that is good now. ProviderError, with the original's words."""
        try:
            parts = jose.split(token)
        except jose.BadToken as error:
            raise ProviderError(f"oidc: malformed jwt: {error}") from error
        if parts.algorithm not in self._algorithms:
            known, found = quoted(self._algorithms), go_quote(parts.algorithm)
            raise ProviderError(f"oidc: id token signed with unsupported algorithm, expected {known} got {found}")
        payload = await self._keys.verify(parts)
        try:
            claims = decoding.decode(payload)
            told = decoding.registered(claims)
        except decoding.WrongType as error:
            raise ProviderError(f"oidc: failed to unmarshal claims: {error}") from error
        except decoding.Unsourced as error:
            raise ProviderError(str(error)) from error
        self._check(told)
        return claims

    def _check(self, told: decoding.Registered) -> None:
        google = (self._issuer, told.issuer) == ("https://accounts.google.com", "accounts.google.com")
        if told.issuer != self._issuer and not google:
            expected, got = go_quote(self._issuer), go_quote(told.issuer)
            raise ProviderError(f"oidc: id token issued by a different provider, expected {expected} got {got}")
        if len(self._audiences) == 1 and self._audiences[0] not in told.audiences:
            expected = go_quote(self._audiences[0])
            raise ProviderError(f"oidc: expected audience {expected} got {quoted(told.audiences)}")
        now = self._clock.time()
        if told.expires is None or told.expires < now:
            shown = _go_time(told.expires) if told.expires is not None else "0001-01-01 00:00:00 +0000 UTC"
            raise ProviderError(f"oidc: token is expired (Token Expiry: {shown})")
        if told.not_before is not None and now + _LEEWAY < told.not_before:
            shown, start = _go_time(int(now)), _go_time(told.not_before)
            raise ProviderError(f"oidc: current time {shown} before the nbf (not before) time: {start}")
        if not set(self._audiences) & set(told.audiences):
            expected = quoted(sorted(self._audiences))
            raise ProviderError(f"oidc: expected audience in {expected} got {quoted(told.audiences)}")


def _go_time(seconds: int) -> str:
    try:
        return times.format_time(seconds).replace("T", " ").replace("Z", " +0000 UTC")
    except (ValueError, OverflowError, OSError):
        return str(seconds)
