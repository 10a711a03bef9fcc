"""What all connections share that the API server opens to services of the cluster: where a service is reached, TLS, words.

Webhooks (admission, conversion) and aggregated API servers are reached at one of the service's ready endpoints, because
the machine of an API server need not have a service proxy. Errors are worded as Go's HTTP client words them: clients and
operators see them in refusals and conditions.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import json
import random
import ssl
from collections.abc import Sequence

import aiohttp

from apimachinery.field import go_quote
from apiserver.registry.kind import Obj, Reader
from apiserver.validation import bundles

Address = tuple[str, int]


async def service_endpoint(reader: Reader, namespace: str, name: str, port: int) -> Address:
    """(address, port) of one of a service's ready endpoints, by chance. LookupError with the original's text."""
    return random.choice(await service_endpoints(reader, namespace, name, port))


async def service_endpoints(reader: Reader, namespace: str, name: str, port: int) -> Sequence[Address]:
    """All of them, of the service's first address family if there are any; never empty. LookupError likewise."""
    service = await reader.get("", "services", namespace, name)
    if service is None:
        raise LookupError(f"service {go_quote(name)} not found")
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return [(spec.get("externalName") or "", port)]
    named = next((entry for entry in spec.get("ports") or () if entry.get("port") == port), None)
    if named is None:
        raise LookupError(f"no service port {port} found for service {go_quote(name)}")
    slices = await service_slices(reader, namespace, name)
    families = spec.get("ipFamilies") or [""]
    preferred = [found for found in slices if found.get("addressType") == families[0]]
    port_name = named.get("name") or ""
    for pieces in (preferred, slices):
        addresses = [address for piece in pieces for address in _ready(piece, port_name)]
        if addresses:
            return addresses
    raise LookupError(f"no endpoints available for service {go_quote(name)}")


async def service_slices(reader: Reader, namespace: str, name: str) -> list[Obj]:
    """The EndpointSlices of a service."""
    return [
        piece
        for piece in await reader.list("discovery.k8s.io", "endpointslices", namespace)
        if (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name
    ]


def _ready(piece: Obj, port_name: str) -> list[Address]:
    """The addresses of a slice's ready endpoints, with the port of that name."""
    ports = [
        entry["port"]
        for entry in piece.get("ports") or ()
        if (entry.get("name") or "") == port_name and entry.get("port") is not None
    ]
    return [
        (endpoint["addresses"][0], int(port))
        for endpoint in piece.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses")
        for port in ports
    ]


def authority(host: str, port: int) -> str:
    """host:port as a URL has it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def client_context(bundle: str, *, insecure: bool = False) -> ssl.SSLContext:
    """TLS towards a server whose certificate chains to the bundle (base64 of PEM; "": the system's roots).

    ValueError in the original's words when the bundle holds no certificates.
    """
    try:
        pem = base64.b64decode(bundle, validate=True).decode() if bundle else None
        context = ssl.create_default_context(cadata=pem if pem is None or pem.strip() else None)
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError) as error:
        raise ValueError(bundles.problem(bundle) or f"unable to load root certificates: {error}") from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Go, by which people test their certificates, is no stricter
    context.set_alpn_protocols(["http/1.1"])
    return context


def words(error: Exception, server_name: str) -> str:
    """An error of a connection as Go prints it. server_name: whom the certificate had to name."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate_words(error.certificate_error, server_name)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_words(error, server_name)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"tls: {error.os_error.strerror or error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _dial_words(f"{error.host}:{error.port}", error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, asyncio.IncompleteReadError | aiohttp.ClientPayloadError):
        return "unexpected EOF"
    if isinstance(error, aiohttp.ClientResponseError):
        return "net/http: HTTP/1.x transport connection broken: malformed HTTP response"
    return str(error) or type(error).__name__


def _dial_words(address: str, error: OSError) -> str:
    if error.errno == errno.ECONNREFUSED:
        return f"dial tcp {address}: connect: connection refused"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        what = "no route to host" if error.errno == errno.EHOSTUNREACH else "network is unreachable"
        return f"dial tcp {address}: connect: {what}"
    return f"dial tcp {address}: {error.strerror or error}"


def _certificate_words(error: Exception, server_name: str) -> str:
    prefix = "tls: failed to verify certificate: x509: "
    code = getattr(error, "verify_code", 0)
    if code in (18, 19, 20, 21):
        return prefix + "certificate signed by unknown authority"
    if code == 10:
        return prefix + "certificate has expired or is not yet valid"
    if code == 62:
        return prefix + f"certificate is not valid for {server_name}"
    if code == 64:
        return prefix + f"cannot validate certificate for {server_name} because it doesn't contain any IP SANs"
    return prefix + str(getattr(error, "verify_message", error))


_FIXED = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
_SAID = (403, 406, 415)  # what the server says of these is all there is
_MAX_TEXT = 2048


def status_words(status: int, body: bytes, content_type: str = "") -> str:
    """An answer that is no success, as client-go puts it: a Status speaks for itself."""
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status" and decoded.get("message"):
        return str(decoded["message"])
    if status in _FIXED:
        return _FIXED[status]
    textual = not content_type or content_type.startswith("text/")
    text = body[:_MAX_TEXT].decode("utf-8", "replace").strip() if textual else "unknown"
    if status in _SAID:
        return text
    if status >= 500:
        return f"an error on the server ({go_quote(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"
