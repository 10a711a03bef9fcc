"""Who may use a node agent's endpoints: decided by reviews, remembered for a while, forgotten in time."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apimachinery.clock import ControlledClock
from apimachinery.gvk import Resource
from serving.delegation import ALLOWED_SECONDS, ANONYMOUS, DENIED_SECONDS, Delegation, Identity

NOW = 1_700_000_000.0
NO_HEADERS: dict[str, str] = {}


class Reviews:
    """An API server that knows one token and one permission."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.allowed = True

    async def create(self, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(obj)
        if resource.kind == "TokenReview":
            good = obj["spec"]["token"] == "good"
            user = {"username": "ann", "uid": "7", "groups": ["dev"], "extra": {"k": ["v"]}}
            return {"status": {"authenticated": good, "user": user} if good else {"authenticated": False}}
        return {"status": {"allowed": self.allowed}}


def delegation(reviews: Reviews, clock: ControlledClock, **options: bool) -> Delegation:
    return Delegation(reviews.create, clock=clock, **options)


def certificate(name: str, group: str, *, days: int = 1, server_only: bool = False) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)]
    )
    begin = datetime.datetime.fromtimestamp(NOW - 86400, datetime.UTC)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server_only else ExtendedKeyUsageOID.CLIENT_AUTH
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=1 + days))
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.DER)


async def test_a_good_token_names_its_user_and_is_asked_for_once() -> None:
    reviews, clock = Reviews(), ControlledClock(NOW)
    auth = delegation(reviews, clock)
    for _ in range(3):
        identity = await auth.authenticate({"Authorization": "Bearer good"}, None)
        assert identity == Identity("ann", "7", ("dev",), {"k": ["v"]})
    assert len(reviews.asked) == 1


async def test_a_bad_token_is_nobody_and_never_anonymous() -> None:
    auth = delegation(Reviews(), ControlledClock(NOW), anonymous=True)
    assert await auth.authenticate({"Authorization": "Bearer bad"}, None) is None
    assert await auth.authenticate(NO_HEADERS, None) == ANONYMOUS


async def test_without_credentials_nobody_unless_anonymous_is_allowed() -> None:
    assert await delegation(Reviews(), ControlledClock(NOW)).authenticate(NO_HEADERS, None) is None


async def test_certificates_name_user_and_groups_while_they_are_valid() -> None:
    auth = delegation(Reviews(), ControlledClock(NOW))
    identity = await auth.authenticate(NO_HEADERS, certificate("kube-apiserver", "system:masters"))
    assert identity is not None
    assert identity.name == "kube-apiserver"
    assert tuple(identity.groups) == ("system:masters", "system:authenticated")
    assert await auth.authenticate(NO_HEADERS, certificate("late", "g", days=-1)) is None
    assert await auth.authenticate(NO_HEADERS, certificate("server", "g", server_only=True)) is None


async def test_decisions_are_remembered_for_their_time() -> None:
    reviews, clock = Reviews(), ControlledClock(NOW)
    auth = delegation(reviews, clock)
    ann, wish = Identity("ann"), {"verb": "get", "resource": "nodes", "subresource": "metrics", "name": "n1"}
    assert await auth.allows(ann, wish)
    reviews.allowed = False
    assert await auth.allows(ann, wish)
    await clock.advance(ALLOWED_SECONDS + 1)
    assert not await auth.allows(ann, wish)
    reviews.allowed = True
    assert not await auth.allows(ann, wish)
    await clock.advance(DENIED_SECONDS + 1)
    assert await auth.allows(ann, wish)
    assert reviews.asked[-1]["spec"] == {"user": "ann", "groups": [], "resourceAttributes": wish}


async def test_paths_are_asked_for_as_non_resource_requests() -> None:
    reviews = Reviews()
    await delegation(reviews, ControlledClock(NOW)).allows(Identity("ann"), {"verb": "get", "path": "/metrics"})
    assert "nonResourceAttributes" in reviews.asked[0]["spec"]
