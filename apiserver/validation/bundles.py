"""Bundles of CA certificates, as webhooks and APIServices name them: what is wrong with one, in Go's words."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.*?)-----END \1-----", re.DOTALL)
_HEADER = re.compile(rb"\A[^\n:]+:[^\n]*\n")


def problem(bundle: str) -> str:
    """Why nobody can be trusted by a bundle (base64 of PEM); "" when somebody can, or when it is empty."""
    try:
        pem = base64.b64decode(bundle, validate=True)
    except binascii.Error:
        pem = b"?"
    if not pem:
        return ""
    last = 0
    for block in _BLOCK.finditer(pem):
        last = block.end()
        if block[1] != b"CERTIFICATE" or _HEADER.match(block[2]):
            continue
        try:
            x509.load_pem_x509_certificate(block[0])
        except ValueError:
            return _WORDS + "failed to parse certificate: x509: malformed certificate"
        return ""
    if last == 0 or pem[last:]:
        return _WORDS + "unable to parse bytes as PEM block"
    return _WORDS + "no valid certificate authority data seen"


_WORDS = "unable to load root certificates: "
