"""A self-signed serving certificate for a node agent that was given none, as kubelet makes one in its --cert-dir. Blocking."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from apimachinery.clock import Clock, utcnow
from nodeagent.certificates import write_private
from nodeagent.context import NodeFacts

_LIFE = datetime.timedelta(days=365)


def serving_certificate(folder: Path, facts: NodeFacts, clock: Clock) -> tuple[Path, Path]:
    """(certificate, key) in the folder, made when they are not there."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    certificate, key = folder / "kubelet.crt", folder / "kubelet.key"
    if certificate.exists() and key.exists():
        return certificate, key
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, f"{facts.name}@{int(clock.time())}")])
    names: list[x509.GeneralName] = [x509.DNSName(facts.name)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in facts.host_ips]
    now = utcnow(clock)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key, secret)
    write_private(certificate, made.public_bytes(serialization.Encoding.PEM))
    return certificate, key
