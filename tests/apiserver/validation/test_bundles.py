"""CA bundles: when nobody can be trusted by one, and what is said of it."""

from __future__ import annotations

import base64

from apiserver.validation import bundles
from tests.support import certificates


def said(pem: bytes) -> str:
    return bundles.problem(base64.b64encode(pem).decode())


def test_a_bundle_of_certificates_is_fine() -> None:
    pem = certificates.authority().pem
    assert said(b"") == ""
    assert said(pem) == ""
    assert said(b"# a comment\n" + pem + b"rubbish") == ""


def test_what_is_wrong_is_told_as_go_tells_it() -> None:
    prefix = "unable to load root certificates: "
    assert said(b"nothing") == prefix + "unable to parse bytes as PEM block"
    key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
    assert said(key) == prefix + "no valid certificate authority data seen"
    torn = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert said(torn) == prefix + "failed to parse certificate: x509: malformed certificate"
