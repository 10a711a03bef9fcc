"""Whether a certificate and a key belong together, in the words of Go's crypto/tls. Called for warnings about TLS secrets."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

_BLOCK = re.compile(
    rb"-----BEGIN ([^\n-]*)-----[ \t\r]*\n(?:[^\n]*: [^\n]*\n)*\s*([A-Za-z0-9+/=\s]*)-----END \1-----",
)


def key_pair_error(certificate: bytes, key: bytes) -> str:
    """What Go says of the PEM texts, "" when they are a pair."""
    kinds, found = [], []
    for kind, body in _blocks(certificate):
        if kind == "CERTIFICATE":
            found.append(body)
        else:
            kinds.append(kind)
    if not found:
        return _no_certificate(kinds)
    kinds, private = [], None
    for kind, body in _blocks(key):
        if kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY"):
            private = body
            break
        kinds.append(kind)
    if private is None:
        return _no_key(kinds)
    return _mismatch(found[0], private)


def _blocks(text: bytes) -> list[tuple[str, bytes]]:
    """(type, content) of every well-formed PEM block."""
    found = []
    for match in _BLOCK.finditer(text):
        try:
            found.append(
                (match[1].decode(errors="replace"), base64.b64decode(b"".join(match[2].split()), validate=True))
            )
        except binascii.Error:
            continue
    return found


def _no_certificate(kinds: list[str]) -> str:
    if not kinds:
        return "tls: failed to find any PEM data in certificate input"
    if len(kinds) == 1 and kinds[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
            "PEM inputs may have been switched"
        )
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following '
        f"types: [{' '.join(kinds)}]"
    )


def _no_key(kinds: list[str]) -> str:
    if not kinds:
        return "tls: failed to find any PEM data in key input"
    if kinds == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: [{' '.join(kinds)}]"
    )


def _mismatch(certificate: bytes, key: bytes) -> str:
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = serialization.load_der_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return "tls: unknown public key algorithm"
    own = private.public_key()
    if isinstance(own, dsa.DSAPublicKey):
        return "tls: failed to parse private key"
    if not _same_family(public, own):
        return "tls: private key type does not match public key type"
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != own.public_bytes(*form):
        return "tls: private key does not match public key"
    return ""


def _same_family(left: object, right: object) -> bool:
    families = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)
    return any(isinstance(left, family) and isinstance(right, family) for family in families)
