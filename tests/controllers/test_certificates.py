import base64
import ipaddress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client.resources import CERTIFICATE_SIGNING_REQUESTS, NODES, SERVICES, SUBJECT_ACCESS_REVIEWS
from controllers.certificates import ApprovingController, ServingApprovingController, SigningController, requests
from controllers.certificates.cleaning import is_outdated
from controllers.certificates.requests import Refused, Request
from controllers.certificates.servingnames import only_its_own
from tests.controllers.harness import Harness
from tests.support import memoryapi

Obj = dict[str, Any]
CLIENT = ["digital signature", "client auth"]


def csr(common_name: str, organization: str = "system:nodes", *alternatives: x509.GeneralName) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def request(name: str, signer: str, text: str, *, approved: bool = True, **spec: Any) -> Obj:
    conditions = [{"type": "Approved", "status": "True"}] if approved else []
    described = {"signerName": signer, "request": text, "usages": CLIENT, **spec}
    return {"metadata": {"name": name}, "spec": described, "status": {"conditions": conditions}}


NODE = Request("system:node:n", ["system:nodes"])


@pytest.mark.parametrize(
    ("signer", "asked", "usages", "message"),
    [
        (requests.API_CLIENT, NODE, ["server auth"], "invalid usage for client certificate: server auth"),
        (requests.API_CLIENT, NODE, [], "missing required usage for client certificate: client auth"),
        (requests.KUBELET_CLIENT, Request("x", ["system:nodes"]), CLIENT, "subject common name does not begin"),
        (requests.KUBELET_CLIENT, Request("system:node:n", []), CLIENT, "organization is not system:nodes"),
        (
            requests.KUBELET_CLIENT,
            Request("system:node:n", ["system:nodes"], dns_names=["a"]),
            CLIENT,
            "DNS subjectAltNames are not allowed",
        ),
        (requests.KUBELET_SERVING, NODE, ["server auth"], "DNS or IP subjectAltName is required"),
    ],
)
def test_what_signers_refuse(signer: str, asked: Request, usages: list[str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        requests.check(signer, asked, usages)


def test_what_signers_accept() -> None:
    requests.check(requests.API_CLIENT, Request("anyone", []), CLIENT)
    requests.check(requests.KUBELET_CLIENT, NODE, CLIENT)
    requests.check(requests.LEGACY, Request("anyone", []), ["any"])


async def test_approved_requests_are_signed(tmp_path: Path) -> None:
    pem, _ = memoryapi.certificate(tmp_path)
    options = {"cluster_signing_cert_file": pem, "cluster_signing_key_file": pem}
    async with memoryapi.serve(tmp_path) as (api, client), Harness(api, client, **options) as harness:
        harness.start(SigningController)
        for described in (
            request("good", requests.API_CLIENT, csr("alice", "team"), expirationSeconds=3600),
            request("bad", requests.KUBELET_CLIENT, csr("alice", "team")),
            request("waiting", requests.API_CLIENT, csr("bob"), approved=False),
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
        asked = request(name, requests.KUBELET_CLIENT, csr(user), approved=False, username=user)
        harness.api.put(CERTIFICATE_SIGNING_REQUESTS, asked)
    approved = await harness.until(lambda: harness.condition(CERTIFICATE_SIGNING_REQUESTS, "good", "Approved", None))
    assert approved["message"] == "Auto approving self kubelet client certificate after SubjectAccessReview."
    assert not harness.condition(CERTIFICATE_SIGNING_REQUESTS, "other", "Approved", None)


def node(name: str, *addresses: str) -> Obj:
    told = [{"type": "InternalIP", "address": address} for address in addresses]
    return {"metadata": {"name": name}, "status": {"addresses": told}}


@pytest.mark.parametrize(
    ("dns_names", "addresses", "theirs"),
    [
        (["n"], ["10.0.0.1"], True),
        (["N."], ["10.0.0.1"], True),
        (["n"], ["fe80::1"], True),
        ([], [], False),
        (["n"], ["10.0.0.3"], False),  # of nobody
        (["n"], ["10.0.0.2"], False),  # of another node too
        (["n"], ["::ffff:10.0.0.2"], False),  # the same, otherwise written
        (["n", "OTHER"], [], False),
        (["n"], ["10.96.0.1"], False),  # of the API server
        (["n"], ["127.0.0.1"], False),
        (["n", "kubernetes"], [], False),
        (["n", "Kubernetes.default.svc"], [], False),
        (["n", "kubernetes.default.svc.cluster.local"], [], False),
        (["n", "localhost"], [], False),
        (["n", "*.example.org"], [], False),
    ],
)
def test_what_a_node_may_be_certified_as(dns_names: list[str], addresses: list[str], theirs: bool) -> None:
    claimed = ["10.0.0.1", "FE80:0::1", "10.0.0.2", "::ffff:10.0.0.2", "10.96.0.1", "127.0.0.1", "other", "localhost"]
    names = ["kubernetes", "Kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "*.example.org"]
    nodes = [node("n", *claimed, *names), node("other", "10.0.0.2")]
    asked = Request("system:node:n", ["system:nodes"], dns_names, addresses)
    assert only_its_own(asked, nodes, ["10.96.0.1", "192.0.2.1"]) is theirs


def test_nobody_is_certified_as_the_api_server_by_calling_a_node_so() -> None:
    for name in ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"):
        assert not only_its_own(Request(f"system:node:{name}", ["system:nodes"], [name]), [node(name)], [])


async def test_a_nodes_serving_certificate_is_approved_for_its_own_names(harness: Harness) -> None:
    harness.api.answers[(SUBJECT_ACCESS_REVIEWS.group, SUBJECT_ACCESS_REVIEWS.plural)] = lambda name, body: {
        "allowed": body["spec"]["resourceAttributes"]["subresource"] == "selfnodeserver"
    }
    service = {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"clusterIPs": ["10.96.0.1"]}}
    harness.api.put(SERVICES, service)
    harness.api.put(NODES, node("thief", "10.0.0.1", "10.96.0.1"))
    harness.start(ServingApprovingController)

    def ask(name: str, user: str, *addresses: str) -> None:
        told = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        text = csr(user, "system:nodes", x509.DNSName(user.rpartition(":")[2]), *told)
        usages = ["digital signature", "server auth"]
        asked = request(name, requests.KUBELET_SERVING, text, approved=False, username=user, usages=usages)
        harness.api.put(CERTIFICATE_SIGNING_REQUESTS, asked)

    ask("api-server", "system:node:thief", "10.96.0.1")
    ask("early", "system:node:late", "10.0.0.2")
    ask("honest", "system:node:thief", "10.0.0.1")
    await harness.until(lambda: harness.condition(CERTIFICATE_SIGNING_REQUESTS, "honest", "Approved", None))
    assert not harness.condition(CERTIFICATE_SIGNING_REQUESTS, "api-server", "Approved", None)
    assert not harness.condition(CERTIFICATE_SIGNING_REQUESTS, "early", "Approved", None)
    harness.api.put(NODES, node("late", "10.0.0.2"))
    await harness.until(lambda: harness.condition(CERTIFICATE_SIGNING_REQUESTS, "early", "Approved", None))


async def test_a_ca_that_is_replaced_signs_from_then_on(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    pem, other = (memoryapi.certificate(folder)[0] for folder in folders)
    options = {"cluster_signing_cert_file": pem, "cluster_signing_key_file": pem}

    def signed(name: str) -> Any:
        return harness.status(CERTIFICATE_SIGNING_REQUESTS, name, None).get("certificate")

    async with memoryapi.serve(tmp_path) as (api, client), Harness(api, client, **options) as harness:
        harness.start(SigningController)
        for name, path in (("a", pem), ("b", other)):
            authority = x509.load_pem_x509_certificate(path.read_bytes())
            path.replace(pem)
            api.put(CERTIFICATE_SIGNING_REQUESTS, request(name, requests.API_CLIENT, csr("alice")))
            await harness.until(partial(signed, name))
            issued = x509.load_pem_x509_certificate(base64.b64decode(signed(name)))
            issued.verify_directly_issued_by(authority)


def test_old_requests_go() -> None:
    now = 1_000_000.0
    decided = {"type": "Approved", "status": "True", "lastUpdateTime": "1970-01-12T00:00:00Z"}
    assert is_outdated({"metadata": {"name": "a"}, "status": {"conditions": [decided]}}, now)
    fresh = {"metadata": {"name": "a", "creationTimestamp": "1970-01-12T13:00:00Z"}, "status": {}}
    assert not is_outdated(fresh, now)
    assert is_outdated({"metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:00Z"}}, now)
