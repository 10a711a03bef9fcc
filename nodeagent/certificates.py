"""The node's own certificates: asked for with a bootstrap token when it joins, and renewed before they end, as kubelet does.

    join_cluster(config, name)        the first client certificate and the kubeconfig that uses it, if they are not there
    Renewal(...).run()                keeps one certificate current by CertificateSigningRequests, until cancelled

A certificate and its key lie together in ROOT-DIR/pki/kubelet-client-current.pem and kubelet-server-current.pem. The requests
are the original's: signers kubernetes.io/kube-apiserver-client-kubelet and kubelet-serving, subject system:node:<name>
of system:nodes. Who approves them is the cluster's affair. Called by agent.py.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery import meta
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from client import kubeconfig
from client.api import Client, Unreachable
from client.resources import CERTIFICATE_SIGNING_REQUESTS
from nodeagent.config import Config

log = logging.getLogger(__name__)

Obj = dict[str, Any]

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
CLIENT_FILE = "kubelet-client-current.pem"
SERVING_FILE = "kubelet-server-current.pem"
_PATIENCE = 900  # seconds that one request is waited for before another is made; kubelet's
_AGAIN = 30.0  # seconds between attempts
_LOOK = 3600.0  # seconds at most between looks at a certificate: the names it should have may change


class CertificateRefused(Exception):
    """The cluster denied the request, or failed to sign it; the text says why."""

    plain = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ask for: whose certificate, for which signer and use; names and addresses for a server."""

    node: str
    signer: str
    usages: tuple[str, ...]
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def client_wanted(node: str) -> Wanted:
    return Wanted(node, CLIENT_SIGNER, ("digital signature", "client auth"))


def serving_wanted(node: str, addresses: Sequence[str]) -> Wanted:
    return Wanted(node, SERVING_SIGNER, ("digital signature", "server auth"), (node,), tuple(sorted(addresses)))


async def join_cluster(config: Config, node: str, user_agent: str) -> None:
    """Make the kubeconfig with a client certificate that the bootstrap kubeconfig's identity may ask for; nothing if it is
    there and still good. CertificateRefused, KubeconfigError."""
    current = config.root_dir / "pki" / CLIENT_FILE
    if config.bootstrap_kubeconfig is None:
        return
    if config.kubeconfig.exists() and await asyncio.to_thread(_good_until, current) > config.clock.time():
        return
    log.info("asking for a client certificate of node %s", node)
    credentials = await asyncio.to_thread(kubeconfig.load, config.bootstrap_kubeconfig)
    async with Client(credentials, clock=config.clock, user_agent=user_agent) as client:
        pem = await _persistently(client, client_wanted(node))
    await asyncio.to_thread(write_private, current, pem)
    await asyncio.to_thread(write_private, config.kubeconfig, _kubeconfig(credentials, current, node))
    log.info("the cluster has signed the client certificate of node %s", node)


def _kubeconfig(credentials: kubeconfig.Credentials, certificate: Path, node: str) -> bytes:
    import yaml

    cluster: Obj = {"server": credentials.server}
    if credentials.ca:
        cluster["certificate-authority-data"] = base64.b64encode(credentials.ca).decode()
    user = {"client-certificate": str(certificate), "client-key": str(certificate)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": cluster}],
        "users": [{"name": f"system:node:{node}", "user": user}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": f"system:node:{node}"}}],
        "current-context": "default",
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


async def _persistently(client: Client, wanted: Wanted) -> bytes:
    """request(), as often as it takes while nobody answers; a node may come up before its API server."""
    while True:
        try:
            return await request(client, wanted)
        except (Unreachable, TimeoutError) as error:
            log.warning("waiting for a certificate of %s: %s", wanted.signer, error or "nobody has signed it yet")
        except ApiError as error:
            if error.code in (401, 403):
                raise CertificateRefused(f"the API server does not take the bootstrap token: {error}") from error
            log.warning("asking for a certificate of %s: %s", wanted.signer, error)
        await client.clock.sleep(_AGAIN)


async def request(client: Client, wanted: Wanted) -> bytes:
    """One request, until it is decided: key and certificate in PEM. CertificateRefused, TimeoutError, ApiError, Unreachable."""
    key, pem = await asyncio.to_thread(_new_request, wanted)
    spec = {"request": base64.b64encode(pem).decode(), "signerName": wanted.signer, "usages": list(wanted.usages)}
    made = await client.create(CERTIFICATE_SIGNING_REQUESTS, {"metadata": {"generateName": "csr-"}, "spec": spec})
    certificate = _decided(made)
    deadline = client.clock.monotonic() + _PATIENCE
    while certificate is None and client.clock.monotonic() < deadline:
        certificate = await _decision(client, meta.name(made))
    if certificate is None:
        raise TimeoutError
    return certificate.rstrip(b"\n") + b"\n" + key


async def _decision(client: Client, name: str) -> bytes | None:
    """The certificate once the request is decided; None when the watch ended before."""
    current = await client.get(CERTIFICATE_SIGNING_REQUESTS, name)
    certificate = _decided(current)
    if certificate is not None:
        return certificate
    events = client.watch(
        CERTIFICATE_SIGNING_REQUESTS,
        resource_version=current["metadata"]["resourceVersion"],
        field_selector=f"metadata.name={name}",
        timeout_seconds=300,
    )
    async with aclosing(events):  # type: ignore[type-var]
        async for kind, obj in events:
            if kind == "DELETED":
                raise CertificateRefused(f"the certificate signing request {name} was deleted before it was decided")
            if kind in ("ADDED", "MODIFIED") and (certificate := _decided(obj)) is not None:
                return certificate
    return None


def _decided(obj: Obj) -> bytes | None:
    for condition in meta.conditions(obj):
        if condition["type"] in ("Denied", "Failed"):
            text = condition.get("message") or condition.get("reason") or "no reason given"
            raise CertificateRefused(f"the certificate signing request was {condition['type'].lower()}: {text}")
    issued = (obj.get("status") or {}).get("certificate")
    return base64.b64decode(issued) if issued else None


class Renewal:
    """Keeps one certificate file current. wanted: what to ask for now; renewed: called when a new one was written."""

    def __init__(
        self,
        client: Client,
        file: Path,
        wanted: Callable[[], Wanted],
        renewed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._file = file
        self._wanted = wanted
        self._renewed = renewed

    async def run(self) -> None:
        """Ask anew between 70 and 90 percent of the certificate's life, or at once when there is none."""
        clock: Clock = self._client.clock
        while True:
            try:
                due = await asyncio.to_thread(_renew_at, self._file, self._wanted())
                if due > clock.time():
                    await clock.sleep(min(due - clock.time(), _LOOK))
                    continue
                pem = await request(self._client, self._wanted())
                await asyncio.to_thread(write_private, self._file, pem)
                if self._renewed is not None:
                    await self._renewed()
                log.info("renewed %s", self._file.name)
            except (ApiError, Unreachable, TimeoutError, CertificateRefused, OSError) as error:
                # A full disk too: what is there is good for a while yet, and the node goes on.
                log.warning("renewing %s: %s", self._file.name, error or "nobody has signed the request")
                await clock.sleep(_AGAIN)


def _load(file: Path) -> Any:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _good_until(file: Path) -> float:
    """When the certificate ends, in seconds since the epoch; 0 when there is none."""
    certificate = _load(file)
    return float(certificate.not_valid_after_utc.timestamp()) if certificate is not None else 0.0


def _renew_at(file: Path, wanted: Wanted) -> float:
    """When to ask anew: now when there is none, or one for other names."""
    certificate = _load(file)
    if certificate is None or _names(certificate) != (set(wanted.dns_names), set(wanted.addresses)):
        return 0.0
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    # The moment is the certificate's own, so that looking again does not put it off.
    share = 0.7 + 0.2 * random.Random(certificate.serial_number).random()
    return float(begin + (end - begin) * share)


def _names(certificate: Any) -> tuple[set[str], set[str]]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set(), set()
    return (
        set(names.get_values_for_type(x509.DNSName)),
        {str(address) for address in names.get_values_for_type(x509.IPAddress)},
    )


def _new_request(wanted: Wanted) -> tuple[bytes, bytes]:
    """(key, request) in PEM; a new key each time."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{wanted.node}"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted.dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in wanted.addresses]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
