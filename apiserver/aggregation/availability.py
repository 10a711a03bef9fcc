"""Whether the server behind an APIService can be reached: its service, its endpoints, and an answer from it."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from yarl import URL

from apiserver import outbound
from apiserver.forward import Target
from apiserver.registry.kind import Obj, Reader

PROBE_SECONDS = 5.0
_ATTEMPTS = 5
_MAX_DOCUMENT = 32 * 1024 * 1024
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
        context = outbound.client_context(spec.get("caBundle") or "", insecure=bool(spec.get("insecureSkipTLSVerify")))
        if self.certificate is not None and self.key is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def stamp(self) -> tuple[int, ...]:
        """What changes when the files do."""
        return tuple(_changed_at(path) for path in (self.certificate, self.key))


def _changed_at(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return 0


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
    plain = service_spec.get("type") in (None, "", "ClusterIP")
    port_name = next(
        (entry.get("name", "") for entry in service_spec.get("ports") or () if entry["port"] == port), None
    )
    if port_name is None and plain:
        return Finding("False", "ServicePortError", f"{what} is not listening on port {port}")
    if plain and not await outbound.service_slices(reader, namespace, name):
        return Finding("False", "EndpointsNotFound", f"cannot find endpointslices for {what}")
    try:
        addresses = await outbound.service_endpoints(reader, namespace, name, port)
    except LookupError as error:
        if not plain:  # nothing was looked for beforehand: the first attempt finds out
            return Finding("False", "FailedDiscoveryCheck", str(error.args[0]))
        text = f'endpointslices for {what} have no addresses with port name "{port_name}"'
        return Finding("False", "MissingEndpoints", text)
    return Finding("True", "", "", [Target("https", host, number, tls, server_name) for host, number in addresses])


async def probe(client: aiohttp.ClientSession, targets: Sequence[Target], group: str, version: str) -> Finding:
    """Ask several targets for their resources at once; one that answers is enough."""
    chosen = random.sample(list(targets), min(len(targets), _ATTEMPTS))
    async with asyncio.TaskGroup() as together:
        asked = [
            together.create_task(_probe(client, target, targets, group, version), name=f"probe {target.authority}")
            for target in chosen
        ]
    found = [task.result() for task in asked]
    return next((finding for finding in found if finding.status == "True"), found[-1])


async def _probe(
    client: aiohttp.ClientSession, target: Target, targets: Sequence[Target], group: str, version: str
) -> Finding:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    url = f"{target.scheme}://{target.authority}{path}"
    options: dict[str, Any] = {"server_hostname": target.server_name} if target.server_name else {}
    try:
        async with client.get(
            URL(url, encoded=True),
            headers={**_PROBER, "Accept": "application/json"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS),
            **options,
        ) as answer:
            body = await read(answer)
            if 200 <= answer.status < 300:
                return Finding("True", "Passed", "all checks passed", targets, _resources(body))
            problem = f"bad status from {url}: {answer.status}"
    except TimeoutError:
        problem = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except (aiohttp.ClientError, OSError) as error:
        problem = f'Get "{url}": {outbound.words(error, target.server_name or target.host)}'
    return Finding("False", "FailedDiscoveryCheck", f"failing or missing response from {url}: {problem}")


async def read(answer: aiohttp.ClientResponse) -> bytes:
    """A whole document; b"" for one that is larger than any should be."""
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_DOCUMENT:
            return b""
    return b"".join(pieces)


def _resources(body: bytes) -> Sequence[Obj]:
    """The entries of an APIResourceList; nothing of a document that is none."""
    try:
        resources = orjson.loads(body)["resources"]
    except (ValueError, KeyError, TypeError):
        return ()
    if not isinstance(resources, list):
        return ()
    return [entry for entry in resources if isinstance(entry, dict) and isinstance(entry.get("name"), str)]
