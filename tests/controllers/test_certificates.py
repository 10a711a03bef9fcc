import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client.resources import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from controllers import certificates
from controllers.certificates import ApprovingController, Refused, Request, SigningController
from tests.controllers.harness import Harness
from tests.support import memoryapi

Obj = dict[str, Any]
CLIENT = ["digital signature", "client auth"]


def csr(common_name: str, organization: str = "system:nodes") -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization),
    ]
    signed = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def request(name: str, signer: str, text: str, *, approved: bool = True, **spec: Any) -> Obj:
    conditions = [{"type": "Approved", "status": "True"}] if approved else []
    described = {"signerName": signer, "request": text, "usages": CLIENT, **spec}
    return {"metadata": {"name": name}, "spec": described, "status": {"conditions": conditions}}


NODE = Request("system:node:n", ["system:nodes"])


@pytest.mark.parametrize(
    ("signer", "asked", "usages", "message"),
    [
        (certificates.API_CLIENT, NODE, ["server auth"], "invalid usage for client certificate: server auth"),
        (certificates.API_CLIENT, NODE, [], "missing required usage for client certificate: client auth"),
        (certificates.KUBELET_CLIENT, Request("x", ["system:nodes"]), CLIENT, "subject common name does not begin"),
        (certificates.KUBELET_CLIENT, Request("system:node:n", []), CLIENT, "organization is not system:nodes"),
        (
            certificates.KUBELET_CLIENT,
            Request("system:node:n", ["system:nodes"], dns_names=["a"]),
            CLIENT,
            "DNS subjectAltNames are not allowed",
        ),
        (certificates.KUBELET_SERVING, NODE, ["server auth"], "DNS or IP subjectAltName is required"),
    ],
)
def test_what_signers_refuse(signer: str, asked: Request, usages: list[str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        certificates.check(signer, asked, usages)


def test_what_signers_accept() -> None:
    certificates.check(certificates.API_CLIENT, Request("anyone", []), CLIENT)
    certificates.check(certificates.KUBELET_CLIENT, NODE, CLIENT)
    certificates.check(certificates.LEGACY, Request("anyone", []), ["any"])


async def test_approved_requests_are_signed(tmp_path: Path) -> None:
    pem, _ = memoryapi.certificate(tmp_path)
    options = {"cluster_signing_cert_file": pem, "cluster_signing_key_file": pem}
    async with memoryapi.serve(tmp_path) as (api, client), Harness(api, client, **options) as harness:
        harness.start(SigningController)
        for described in (
            request("good", certificates.API_CLIENT, csr("alice", "team"), expirationSeconds=3600),
            request("bad", certificates.KUBELET_CLIENT, csr("alice", "team")),
            request("waiting", certificates.API_CLIENT, csr("bob"), approved=False),
        ):
            api.put(CERTIFICATE_SIGNING_REQUESTS, described)
        await harness.until(lambda: harness.status(CERTIFICATE_SIGNING_REQUESTS, "good", None).get("certificate"))
        issued = x509.load_pem_x509_certificate(
            base64.b64decode(harness.status(CERTIFICATE_SIGNING_REQUESTS, "good", None)["certificate"])
        )
        assert issued.subject.rfc4514_string() == "O=team,CN=alice"
        assert 3500 < (issued.not_valid_after_utc - issued.not_valid_before_utc).total_seconds() - 300 < 3700
        issued.verify_directly_issued_by(x509.load_pem_x509_certificate(pem.read_bytes()))
        failed = await harness.until(lambda: harness.condition(CERTIFICATE_SIGNING_REQUESTS, "bad", "Failed", None))
        assert failed["reason"] == "SignerValidationFailure"
        assert "certificate" not in harness.status(CERTIFICATE_SIGNING_REQUESTS, "waiting", None)


async def test_a_nodes_own_request_is_approved_if_it_may(harness: Harness) -> None:
    allowed = {"system:node:good": True}

    def answer(name: str, body: Obj) -> Obj:
        return {"allowed": allowed.get(body["spec"]["user"], False)}

    harness.api.answers[(SUBJECT_ACCESS_REVIEWS.group, SUBJECT_ACCESS_REVIEWS.plural)] = answer
    harness.start(ApprovingController)
    for name in ("good", "other"):
        user = f"system:node:{name}"
        asked = request(name, certificates.KUBELET_CLIENT, csr(user), approved=False, username=user)
        harness.api.put(CERTIFICATE_SIGNING_REQUESTS, asked)
    approved = await harness.until(lambda: harness.condition(CERTIFICATE_SIGNING_REQUESTS, "good", "Approved", None))
    assert approved["message"] == "Auto approving self kubelet client certificate after SubjectAccessReview."
    assert not harness.condition(CERTIFICATE_SIGNING_REQUESTS, "other", "Approved", None)


def test_old_requests_go() -> None:
    now = 1_000_000.0
    decided = {"type": "Approved", "status": "True", "lastUpdateTime": "1970-01-12T00:00:00Z"}
    assert certificates.is_outdated({"metadata": {"name": "a"}, "status": {"conditions": [decided]}}, now)
    fresh = {"metadata": {"name": "a", "creationTimestamp": "1970-01-12T13:00:00Z"}, "status": {}}
    assert not certificates.is_outdated(fresh, now)
    assert certificates.is_outdated({"metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:00Z"}}, now)
