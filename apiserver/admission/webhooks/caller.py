"""Reaching webhooks: HTTPS to a URL or to a service's endpoints, with the configured CA, within a deadline.

Errors are worded as Go's HTTP client words them, as clients see them in refusals. A service is reached at one of its
ready endpoints directly, because the machine of an API server need not have a service proxy.
"""

from __future__ import annotations

import logging
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from apimachinery import clock as clocks
from apimachinery.clock import Clock
from apimachinery.filewatch import Followed
from apimachinery.gvk import split_api_version
from apiserver import outbound
from apiserver.admission.webhooks import answers
from apiserver.admission.webhooks.identities import Identities, Identity
from apiserver.registry.kind import Obj, Reader

log = logging.getLogger(__name__)

_MAX_ANSWER = 16 << 20  # bytes of one answer; a patch of the largest object fits many times
_CONTEXTS = 256  # TLS set-ups that are kept, one for each CA bundle and user


class CallFailed(Exception):
    """The webhook could not be asked, or gave no answer; the text says why, after `failed calling webhook "x": `."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. url: what is connected to; shown: what texts say; server_name: whom the certificate names."""

    url: str
    shown: str
    server_name: str
    host: str


class Caller:
    """Connections to webhooks, kept open between calls. Close it."""

    def __init__(self, reader: Reader, clock: Clock, identities: Followed[Identities] | None = None) -> None:
        """identities: as whom webhooks are called; None: as nobody."""
        self._identities = identities
        self._reader = reader
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[tuple[str, Identity | None], ssl.SSLContext] = OrderedDict()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, config: Obj, review: Obj, timeout: int) -> Any:
        """The decoded answer to a review. config: WebhookClientConfig. timeout: seconds. Raises CallFailed."""
        target = await self._target(config, timeout)
        users = await self._identities.current() if self._identities is not None else None
        identity = users.of(target.host) if users is not None else None
        context = self._context(config.get("caBundle") or "", identity)
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
            )
        try:
            async with clocks.timeout(self._clock, timeout):
                status, body, media_type = await self._exchange(
                    self._session, target, context, orjson.dumps(review), identity
                )
        except TimeoutError:
            raise CallFailed(f'failed to call webhook: Post "{target.shown}": context deadline exceeded') from None
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(
                f'failed to call webhook: Post "{target.shown}": {outbound.words(error, target.server_name)}'
            ) from error
        return _decoded(status, body, media_type, review["apiVersion"])

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        context: ssl.SSLContext,
        body: bytes,
        identity: Identity | None,
    ) -> tuple[int, bytes, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*", "Host": target.host}
        if identity is not None:
            headers |= await identity.headers()
        async with session.post(
            target.url,
            data=body,
            headers=headers,
            ssl=context,
            server_hostname=target.server_name,
            allow_redirects=False,
        ) as response:
            answer = await response.content.read(_MAX_ANSWER)
            pieces = [answer]
            size = len(answer)
            while answer := await response.content.read(_MAX_ANSWER):
                size += len(answer)
                if size > _MAX_ANSWER:
                    raise aiohttp.ClientPayloadError("the answer is too large")
                pieces.append(answer)
            return response.status, b"".join(pieces), response.headers.get("Content-Type", "")

    def _context(self, bundle: str, identity: Identity | None) -> ssl.SSLContext:
        key = (bundle, identity)
        context = self._contexts.get(key)
        if context is None:
            try:
                context = outbound.client_context(bundle)
                if identity is not None:
                    identity.equip(context)
            except (ValueError, ssl.SSLError) as error:
                raise CallFailed(f"could not get REST client: {error}") from error
            self._contexts[key] = context
            if len(self._contexts) > _CONTEXTS:
                self._contexts.popitem(last=False)
        return context

    async def _target(self, config: Obj, timeout: int) -> Target:
        query = f"timeout={timeout}s"
        service = config.get("service")
        if service is None:
            url = config.get("url") or ""
            if not url:
                raise CallFailed("could not get REST client: webhook configuration must have either service or URL")
            parts = urlsplit(url)
            shown = f"{parts.scheme}://{parts.netloc}{parts.path}?{query}"
            return Target(shown, shown, parts.hostname or "", parts.netloc)
        namespace, name, port = service.get("namespace") or "", service.get("name") or "", service.get("port") or 443
        server_name = f"{name}.{namespace}.svc"
        path = "/" + (service.get("path") or "").lstrip("/")
        shown = f"https://{server_name}:{port}{path}?{query}"
        try:
            host, actual = await outbound.service_endpoint(self._reader, namespace, name, port)
        except LookupError as error:
            raise CallFailed(f'failed to call webhook: Post "{shown}": {error.args[0]}') from None
        return Target(
            f"https://{outbound.authority(host, actual)}{path}?{query}", shown, server_name, f"{server_name}:{port}"
        )


def _decoded(status: int, body: bytes, media_type: str, wanted: str) -> Obj:
    """The AdmissionReview in an answer. wanted: its apiVersion. CallFailed in the words of the original's decoder."""
    if not 200 <= status <= 206:
        raise CallFailed(f"failed to call webhook: {outbound.status_words(status, body, media_type)}")
    if not body:
        text = f"0-length response with status code: {status} and content type: {media_type}"
        raise CallFailed(f"failed to call webhook: {text}")
    try:
        if split_api_version(wanted)[0] != answers.GROUP:
            return answers.plain(body)  # a ConversionReview, which whoever asks looks into
        return answers.decode(body, wanted)
    except answers.Undecodable as error:
        raise CallFailed(f"failed to call webhook: {error}") from None
