"""Reaching webhooks: HTTPS to a URL or to a service's endpoints, with the configured CA, within a deadline.

Errors are worded as Go's HTTP client words them, as clients see them in refusals. A service is reached at one of its
ready endpoints directly, because the machine of an API server need not have a service proxy.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import json
import logging
import random
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from apimachinery import clock as clocks
from apimachinery.field import go_quote
from apiserver.admission.base import Env
from apiserver.registry.kind import Obj, Reader

log = logging.getLogger(__name__)

_MAX_ANSWER = 16 << 20  # bytes of one answer; a patch of the largest object fits many times
_CONTEXTS = 256  # TLS set-ups that are kept, one for each CA bundle


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

    def __init__(self, env: Env) -> None:
        self._reader: Reader = env.reader
        self._clock = env.clock
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, config: Obj, review: Obj, timeout: int) -> Any:
        """The decoded answer to a review. config: WebhookClientConfig. timeout: seconds. Raises CallFailed."""
        target = await self._target(config, timeout)
        context = self._context(config.get("caBundle") or "")
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        try:
            async with clocks.timeout(self._clock, timeout):
                status, body = await self._exchange(self._session, target, context, orjson.dumps(review))
        except TimeoutError:
            raise CallFailed(f'failed to call webhook: Post "{target.shown}": context deadline exceeded') from None
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(f'failed to call webhook: Post "{target.shown}": {_words(error, target)}') from error
        return _decoded(status, body)

    async def _exchange(
        self, session: aiohttp.ClientSession, target: Target, context: ssl.SSLContext, body: bytes
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*", "Host": target.host}
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
            return response.status, b"".join(pieces)

    def _context(self, bundle: str) -> ssl.SSLContext:
        context = self._contexts.get(bundle)
        if context is None:
            try:
                pem = base64.b64decode(bundle, validate=True).decode() if bundle else None
                context = ssl.create_default_context(cadata=pem)
            except (binascii.Error, UnicodeDecodeError, ssl.SSLError) as error:
                raise CallFailed(f"could not get REST client: unable to load root certificates: {error}") from error
            self._contexts[bundle] = context
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
            host, actual = await self._endpoint(namespace, name, port)
        except LookupError as error:
            raise CallFailed(f'failed to call webhook: Post "{shown}": {error.args[0]}') from None
        address = f"[{host}]" if ":" in host else host
        return Target(f"https://{address}:{actual}{path}?{query}", shown, server_name, f"{server_name}:{port}")

    async def _endpoint(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """(address, port) of a ready endpoint of a service. LookupError with the original's text."""
        service = await self._reader.get("", "services", namespace, name)
        if service is None:
            raise LookupError(f"service {go_quote(name)} not found")
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return spec.get("externalName") or "", port
        named = next((p for p in spec.get("ports") or () if p.get("port") == port), None)
        if named is None:
            raise LookupError(f"no service port {port} found for service {go_quote(name)}")
        found = []
        for piece in await self._reader.list("discovery.k8s.io", "endpointslices", namespace):
            if (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            ports = [p["port"] for p in piece.get("ports") or () if (p.get("name") or "") == (named.get("name") or "")]
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    found += [(a, p) for a in endpoint.get("addresses") or () for p in ports]
        if not found:
            raise LookupError(f"no endpoints available for service {go_quote(name)}")
        address, actual = random.choice(found)
        return address, int(actual)


def _words(error: Exception, target: Target) -> str:
    """An error of the connection as Go prints it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate_words(error.certificate_error, target)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"tls: {error.os_error.strerror or error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        address = f"{error.host}:{error.port}"
        number = error.os_error.errno
        if number == errno.ECONNREFUSED:
            return f"dial tcp {address}: connect: connection refused"
        if number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            what = "no route to host" if number == errno.EHOSTUNREACH else "network is unreachable"
            return f"dial tcp {address}: connect: {what}"
        return f"dial tcp {address}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, asyncio.IncompleteReadError | aiohttp.ClientPayloadError):
        return "unexpected EOF"
    return str(error) or type(error).__name__


def _certificate_words(error: Exception, target: Target) -> str:
    prefix = "tls: failed to verify certificate: x509: "
    code = getattr(error, "verify_code", 0)
    if code in (18, 19, 20, 21):
        return prefix + "certificate signed by unknown authority"
    if code == 10:
        return prefix + "certificate has expired or is not yet valid"
    if code == 62:
        return prefix + f"certificate is not valid for {target.server_name}"
    if code == 64:
        return prefix + f"cannot validate certificate for {target.server_name} because it doesn't contain any IP SANs"
    return prefix + str(getattr(error, "verify_message", error))


def _decoded(status: int, body: bytes) -> Any:
    if not 200 <= status <= 206:
        raise CallFailed(f"failed to call webhook: {_status_words(status, body)}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = f"couldn't get version/kind; json parse error: {error}"
        raise CallFailed(f"failed to call webhook: {text}") from error


_FIXED = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    403: "forbidden",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def _status_words(status: int, body: bytes) -> str:
    """An answer that is no success, as client-go puts it: a Status speaks for itself."""
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status" and decoded.get("message"):
        return str(decoded["message"])
    if status in _FIXED:
        return _FIXED[status]
    text = body.decode("utf-8", "replace").strip()[:2048]
    if status >= 500:
        return f"an error on the server ({go_quote(text or 'unknown')}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"
