"""CertificateSigningRequest: who asks, what may be asked, approval and the certificate."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.kinds.certificates.certificatesigningrequest import CertificateSigningRequest
from tests.support.kindtest import KindTester, changed


def _request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ada")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


GOOD: dict[str, Any] = {
    "metadata": {"name": "a"},
    "spec": {
        "request": _request(),
        "signerName": "example.com/s",
        "usages": ["client auth"],
        "username": "somebody else",
    },
}
APPROVED = {"type": "Approved", "status": "True", "reason": "Fine"}
tester = KindTester(CertificateSigningRequest())


def test_who_asks_is_who_sends() -> None:
    outcome = tester.create(GOOD)
    assert outcome.errors == []
    assert outcome.obj["spec"]["username"] == "tester"
    assert "status" not in outcome.obj or not outcome.obj["status"].get("conditions")


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"spec.request": "AAAA"}, "spec.request: Invalid value"),
        ({"spec.signerName": ""}, "spec.signerName: "),
        ({"spec.signerName": "nodomain/x"}, "spec.signerName: Invalid value"),
        ({"spec.usages": []}, "spec.usages: Required value"),
        ({"spec.usages": ["flying"]}, "spec.usages[0]: Unsupported value"),
        ({"spec.usages": ["any", "any"]}, "spec.usages[1]: Duplicate value"),
        (
            {"spec.expirationSeconds": 60},
            "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ],
)
def test_faults(edits: dict[str, Any], error: str) -> None:
    assert tester.create(changed(GOOD, edits)).errors[0].startswith(error)


def test_what_was_asked_stays() -> None:
    old = tester.create(GOOD).obj
    assert tester.update(changed(GOOD, {"spec.usages": ["any"]}), old).obj["spec"] == old["spec"]


def test_approval_is_for_its_subresource() -> None:
    old = tester.create(GOOD).obj
    approved = changed(old, {"status": {"conditions": [APPROVED]}})
    assert tester.update(approved, old, subresource="status").errors
    outcome = tester.update(approved, {**old, "status": approved["status"]}, subresource="approval")
    assert outcome.errors == []


def test_approved_requests_stay_approved() -> None:
    old = tester.create(GOOD).obj
    old["status"] = {"conditions": [{**APPROVED, "lastUpdateTime": None, "lastTransitionTime": None}]}
    denied = changed(old, {"status": {"conditions": [{**APPROVED, "type": "Denied"}]}})
    assert tester.update(denied, old, subresource="status").errors
