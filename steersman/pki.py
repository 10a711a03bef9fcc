"""The cluster's certificates: what kubeadm creates, with ECDSA P-256 keys throughout.

ensure() brings a folder up to date: it creates what is missing, renews what expires within 30 days and re-issues what no
longer matches the names and addresses asked for. CAs are never replaced, and the service-account key only by rotate(), which
keeps the old public keys. Known good state is kept beside the files (issued.json), so a start that has nothing to do need
not load any cryptography.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery.clock import Clock
from steersman.paths import write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

DAY = 86_400
CA_VALIDITY = 3650 * DAY
LEAF_VALIDITY = 365 * DAY
RENEW_BEFORE = 30 * DAY
CLOCK_SKEW = 300  # certificates begin this many seconds early
_RECORD = "issued.json"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate to have: file name without suffix, subject, signing CA, use, and names for a server."""

    name: str
    common_name: str
    organizations: Sequence[str] = ()
    ca: str = "ca"
    server: bool = False
    client: bool = True
    dns_names: Sequence[str] = ()
    addresses: Sequence[str] = ()


def cluster_leaves(
    *, node_name: str, dns_names: Sequence[str], addresses: Sequence[str], node_addresses: Sequence[str]
) -> list[Leaf]:
    """The certificates of a one-machine cluster.

    dns_names, addresses: the API server's beyond the fixed ones of its Service. node_addresses: the node agent's.
    """
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    return [
        Leaf(
            "apiserver",
            "kube-apiserver",
            server=True,
            client=False,
            dns_names=tuple(dict.fromkeys([*service, "localhost", *dns_names])),
            addresses=tuple(dict.fromkeys(["127.0.0.1", "::1", *addresses])),
        ),
        # Node agents ask the API server whether it may use their API; as with kubeadm, it may.
        Leaf("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
        Leaf("front-proxy-client", "front-proxy-client", ca="front-proxy-ca"),
        Leaf("admin", "kubernetes-admin", ("system:masters",)),
        Leaf("controllers", "system:kube-controller-manager"),
        Leaf("scheduler", "system:kube-scheduler"),
        Leaf("nodeagent", f"system:node:{node_name}", ("system:nodes",)),
        Leaf(
            "nodeagent-server",
            f"system:node:{node_name}",
            ("system:nodes",),
            server=True,
            client=False,
            dns_names=(node_name, "localhost"),
            addresses=tuple(dict.fromkeys(["127.0.0.1", *node_addresses])),
        ),
        *(
            Leaf(
                f"{part}-server",
                f"steersman-{part}",
                server=True,
                client=False,
                dns_names=("localhost",),
                addresses=("127.0.0.1",),
            )
            for part in ("controllers", "scheduler")
        ),
    ]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate as it lies in the folder: file name without suffix, subject and issuer (RFC 4514), end in seconds since the
    epoch, and whether it is a CA."""

    name: str
    subject: str
    issuer: str
    not_after: float
    authority: bool


def show(folder: Path) -> list[Issued]:
    """The certificates in the folder, CAs first. ValueError for a file that holds none."""
    from cryptography import x509

    found = []
    for path in sorted(folder.glob("*.crt")):
        for certificate in x509.load_pem_x509_certificates(path.read_bytes()):
            authority = certificate.subject == certificate.issuer
            subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
            found.append(Issued(path.stem, subject, issuer, certificate.not_valid_after_utc.timestamp(), authority))
    return sorted(found, key=lambda issued: (not issued.authority, issued.name))


def rotate(folder: Path, names: Sequence[str], clock: Clock) -> list[str]:
    """Re-issue certificates that ensure() made, all of them without names, each with a new key; "sa" is the service-account
    key. The names of what was written; ValueError for one that is not there."""
    with _alone(folder):
        return _rotate(folder, names, clock)


def _rotate(folder: Path, names: Sequence[str], clock: Clock) -> list[str]:
    record = _record(folder)
    unknown = [name for name in names if name != "sa" and name not in record]
    if unknown:
        raise ValueError(f"there is no certificate {unknown[0]!r}; there are {', '.join(sorted(record))}")
    written = list(dict.fromkeys(names or record))
    if "sa" in written:
        _create_service_account_key(folder, keep=(folder / "sa.pub").read_bytes())
    leaves = []
    for name in written:
        if name != "sa":
            told = record[name]["leaf"].items()
            fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told}
            leaves.append(Leaf(**fields))
    _issue_all(folder, leaves, record, clock)
    return written


def _record(folder: Path) -> dict[str, Any]:
    """What was issued, by name; empty when nobody knows."""
    try:
        record: dict[str, Any] = json.loads((folder / _RECORD).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return record


def ensure(folder: Path, leaves: Sequence[Leaf], clock: Clock) -> list[str]:
    """Create, renew or re-issue what is needed; the names of what was written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        return _ensure(folder, leaves, clock)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """`certs rotate` beside a cluster that renews: two must not write one pair."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _ensure(folder: Path, leaves: Sequence[Leaf], clock: Clock) -> list[str]:
    record = _record(folder)
    written: list[str] = []
    for ca in ("ca", "front-proxy-ca"):
        if not (folder / f"{ca}.key").exists() or not (folder / f"{ca}.crt").exists():
            _create_ca(folder, ca, clock)
            written.append(ca)
            record = {name: entry for name, entry in record.items() if entry.get("ca") != ca}
    if not (folder / "sa.key").exists() or not (folder / "sa.pub").exists():
        _create_service_account_key(folder)
        written.append("sa")
    due = [leaf for leaf in leaves if not _is_current(folder, leaf, record.get(leaf.name), clock)]
    _issue_all(folder, due, record, clock)
    return written + [leaf.name for leaf in due]


def _is_current(folder: Path, leaf: Leaf, entry: Any, clock: Clock) -> bool:
    present = (folder / f"{leaf.name}.crt").exists() and (folder / f"{leaf.name}.key").exists()
    if not present or not entry or entry["leaf"] != _told(leaf):
        return False
    return bool(entry["notAfter"] - clock.time() > RENEW_BEFORE)


def _told(leaf: Leaf) -> Any:
    """A leaf as the record has it."""
    return json.loads(json.dumps(asdict(leaf)))


def _issue_all(folder: Path, leaves: Sequence[Leaf], record: dict[str, Any], clock: Clock) -> None:
    """Issue them, and say so in the record. Nothing is known of them meanwhile, so that a key without its certificate, which a
    sudden end may leave, is not taken for a pair later."""
    if not leaves:
        return
    _save(folder, {name: entry for name, entry in record.items() if name not in {leaf.name for leaf in leaves}})
    for leaf in leaves:
        record[leaf.name] = {"leaf": _told(leaf), "ca": leaf.ca, "notAfter": _issue(folder, leaf, clock)}
    _save(folder, record)


def _save(folder: Path, record: dict[str, Any]) -> None:
    write_private(folder / _RECORD, json.dumps(record, indent=1) + "\n")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _name(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: Any, clock: Clock, validity: float
) -> x509.CertificateBuilder:
    from datetime import UTC, datetime

    from cryptography import x509

    now = clock.time()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - CLOCK_SKEW, UTC))
        .not_valid_after(datetime.fromtimestamp(now + validity, UTC))
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _create_ca(folder: Path, name: str, clock: Clock) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("kubernetes" if name == "ca" else name)
    certificate = (
        _builder(subject, subject, key.public_key(), clock, CA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / f"{name}.key", _key_pem(key))
    write_private(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _create_service_account_key(folder: Path, keep: bytes = b"") -> None:
    """keep: public keys whose tokens stay good."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(folder / "sa.pub", public + keep, 0o644)
    write_private(folder / "sa.key", _key_pem(key))


def _issue(folder: Path, leaf: Leaf, clock: Clock) -> float:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    ca_key = serialization.load_pem_private_key((folder / f"{leaf.ca}.key").read_bytes(), None)
    ca_certificate = x509.load_pem_x509_certificate((folder / f"{leaf.ca}.crt").read_bytes())
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{folder / leaf.ca}.key is not an EC key")
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.server else []
    if leaf.client:
        usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    builder = (
        _builder(
            _name(leaf.common_name, leaf.organizations), ca_certificate.subject, key.public_key(), clock, LEAF_VALIDITY
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in leaf.dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in leaf.addresses]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    write_private(folder / f"{leaf.name}.key", _key_pem(key))
    write_private(folder / f"{leaf.name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return clock.time() + LEAF_VALIDITY
