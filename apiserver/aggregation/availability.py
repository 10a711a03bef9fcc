"""Whether the server behind an APIService can be reached: its service, its endpoints, and an answer from it."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from yarl import URL

from apiserver import forward
from apiserver.forward import Target
from apiserver.registry.kind import Obj, Reader

PROBE_SECONDS = 5.0
_MAX_DOCUMENT = 4 * 1024 * 1024
_PROBER = {"X-Remote-User": "system:kube-aggregator", "X-Remote-Group": "system:masters"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The Available condition's status, reason and message, and what was learnt on the way."""

    status: str
    reason: str
    message: str
    targets: Sequence[Target] = ()
    resources: Sequence[Obj] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Identity:
    """The certificate that this server shows as the front proxy."""

    certificate: Path | None
    key: Path | None

    def tls(self, spec: Obj) -> ssl.SSLContext:
        """How to talk to the server of an APIService. ValueError for a caBundle that is none."""
        if spec.get("insecureSkipTLSVerify"):
            context = forward.unverified_tls()
        else:
            bundle = spec.get("caBundle")
            try:
                context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)
            except ssl.SSLError as error:
                raise ValueError(str(error)) from error
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.certificate is not None and self.key is not None:
            context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["http/1.1"])
        return context


async def locate(reader: Reader, spec: Obj, tls: ssl.SSLContext) -> Finding:
    """Where the requests for an APIService go; a status other than True when there is nowhere."""
    reference = spec["service"]
    namespace, name, port = reference["namespace"], reference["name"], reference.get("port") or 443
    what, server_name = f'service/{name} in "{namespace}"', f"{name}.{namespace}.svc"
    service = await reader.get("", "services", namespace, name)
    if service is None:
        return Finding("False", "ServiceNotFound", f"{what} is not present")
    service_spec = service.get("spec") or {}
    if service_spec.get("type") == "ExternalName":
        return Finding("True", "", "", [Target("https", service_spec["externalName"], port, tls, server_name)])
    port_name = next(
        (entry.get("name", "") for entry in service_spec.get("ports") or () if entry["port"] == port), None
    )
    if port_name is None:
        return Finding("False", "ServicePortError", f"{what} is not listening on port {port}")
    slices = [
        found
        for found in await reader.list("discovery.k8s.io", "endpointslices", namespace)
        if (found["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name
    ]
    if not slices:
        return Finding("False", "EndpointsNotFound", f"cannot find endpointslices for {what}")
    targets = [
        Target("https", address, entry["port"], tls, server_name)
        for found in slices
        for entry in found.get("ports") or ()
        if (entry.get("name") or "") == port_name and entry.get("port")
        for endpoint in found.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in (endpoint.get("addresses") or ())[:1]
    ]
    if not targets:
        text = f'endpointslices for {what} have no addresses with port name "{port_name}"'
        return Finding("False", "MissingEndpoints", text)
    return Finding("True", "", "", targets)


async def probe(client: aiohttp.ClientSession, targets: Sequence[Target], group: str, version: str) -> Finding:
    """Ask each target for its resources, until one answers."""
    message = ""
    for target in targets:
        url = f"{target.scheme}://{target.authority}/apis/{group}/{version}"
        options: dict[str, Any] = {"server_hostname": target.server_name} if target.server_name else {}
        try:
            async with client.get(
                URL(url, encoded=True),
                headers={**_PROBER, "Accept": "application/json"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS),
                **options,
            ) as answer:
                body = await answer.content.read(_MAX_DOCUMENT)
                if 200 <= answer.status < 300:
                    return Finding("True", "Passed", "all checks passed", targets, _resources(body))
                problem: object = f"bad status from {url}: {answer.status}"
        except TimeoutError:
            problem = "context deadline exceeded"
        except (aiohttp.ClientError, OSError) as error:
            problem = error or type(error).__name__
        message = f"failing or missing response from {url}: {problem}"
    return Finding("False", "FailedDiscoveryCheck", message)


def _resources(body: bytes) -> Sequence[Obj]:
    """The entries of an APIResourceList; nothing of a document that is none."""
    try:
        resources = orjson.loads(body)["resources"]
    except (ValueError, KeyError, TypeError):
        return ()
    if not isinstance(resources, list):
        return ()
    return [entry for entry in resources if isinstance(entry, dict) and isinstance(entry.get("name"), str)]
