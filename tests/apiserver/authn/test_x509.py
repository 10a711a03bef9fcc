"""Client certificates: who is let in, and who is not."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from multidict import CIMultiDict

from apimachinery.clock import ControlledClock, RealClock
from apiserver.authn import x509
from apiserver.authn.base import AuthenticationError, Credentials
from apiserver.authn.frontproxy import FrontProxyAuthenticator
from apiserver.authn.metrics import AuthenticationMetrics
from tests.support import certificates
from tests.support.certificates import DAY, NOW


def check(*roots: certificates.Authority) -> x509.CertificateAuthenticator:
    return x509.CertificateAuthenticator([root.certificate for root in roots], RealClock())


def shown(leaf: bytes, *others: bytes) -> Credentials:
    return Credentials(CIMultiDict(), leaf, lambda: others)


async def test_the_subject_names_user_and_groups() -> None:
    ca = certificates.authority()
    response = await check(ca).authenticate(shown(certificates.client(ca, "jane", ("devs", "ops"))))
    assert response is not None
    assert response.user.name == "jane"
    assert tuple(response.user.groups) == ("devs", "ops")
    (credential,) = response.user.extra["authentication.kubernetes.io/credential-id"]
    assert credential.startswith("X509SHA256=")


async def test_no_certificate_is_no_opinion() -> None:
    assert await check(certificates.authority()).authenticate(Credentials(CIMultiDict())) is None


async def test_no_common_name_is_no_opinion() -> None:
    ca = certificates.authority()
    assert await check(ca).authenticate(shown(certificates.client(ca, ""))) is None


async def test_an_intermediate_leads_to_the_root() -> None:
    root = certificates.authority("root")
    middle = certificates.authority("middle", root)
    leaf = certificates.client(middle, "jane")
    with pytest.raises(AuthenticationError, match="unknown authority"):
        await check(root).authenticate(shown(leaf))
    assert await check(root).authenticate(shown(leaf, middle.der)) is not None


@pytest.mark.parametrize("usage", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING])
async def test_other_purposes_are_refused(usage: object) -> None:
    ca = certificates.authority()
    with pytest.raises(AuthenticationError, match="incompatible key usage"):
        await check(ca).authenticate(shown(certificates.client(ca, usage=usage)))  # type: ignore[arg-type]


async def test_time_is_checked_on_every_use() -> None:
    ca = certificates.authority()
    expired = certificates.client(ca, start=NOW - 2 * DAY, end=NOW - DAY)
    future = certificates.client(ca, start=NOW + DAY, end=NOW + 2 * DAY)
    authenticator = check(ca)
    for leaf in (expired, future, expired):
        with pytest.raises(AuthenticationError, match="expired or is not yet valid"):
            await authenticator.authenticate(shown(leaf))


async def test_a_foreign_authority_of_the_same_name_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="unknown authority"):
        await check(certificates.authority("ca")).authenticate(
            shown(certificates.client(certificates.authority("ca"), "system:admin", ("system:masters",)))
        )


async def test_who_is_no_authority_signs_nobody() -> None:
    root = certificates.authority("root")
    impostor = certificates.authority("jane", root, ca=False)
    with pytest.raises(AuthenticationError, match="unknown authority"):
        await check(root).authenticate(shown(certificates.client(impostor, "admin"), impostor.der))


async def test_path_length_is_kept() -> None:
    root = certificates.authority("root", path_length=0)
    middle = certificates.authority("middle", root)
    with pytest.raises(AuthenticationError, match="unknown authority"):
        await check(root).authenticate(shown(certificates.client(middle), middle.der))


def again(old: certificates.Authority, start: datetime.datetime, end: datetime.datetime) -> certificates.Authority:
    """Another certificate for the same name and key."""
    name = old.certificate.subject
    builder = (
        cx509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(old.key.public_key())
        .serial_number(cx509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(cx509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return certificates.Authority(builder.sign(old.key, hashes.SHA256()), old.key)


async def test_a_renewed_authority_beside_the_old_one_that_has_expired() -> None:
    old = certificates.authority()
    leaf = certificates.client(old)
    expired, renewed = again(old, NOW - 3 * DAY, NOW - DAY), again(old, NOW - DAY, NOW + 30 * DAY)
    assert await check(expired, renewed).authenticate(shown(leaf)) is not None
    with pytest.raises(AuthenticationError, match="has expired"):
        await check(expired).authenticate(shown(leaf))
    clock = ControlledClock(NOW.timestamp())
    soon = again(old, NOW - DAY, NOW + DAY / 2)
    authenticator = x509.CertificateAuthenticator([soon.certificate, renewed.certificate], clock)
    assert await authenticator.authenticate(shown(leaf)) is not None
    await clock.advance(DAY.total_seconds() * 0.75)
    assert await authenticator.authenticate(shown(leaf)) is not None


async def test_certificates_made_to_lead_astray_cost_little() -> None:
    stranger = certificates.authority("stranger")
    others = [again(stranger, NOW - DAY, NOW + DAY) for _ in range(7)]  # each signed each: 7! ways that lead nowhere
    leaf = certificates.client(stranger)
    with pytest.raises(AuthenticationError, match="unknown authority"):
        await check(certificates.authority()).authenticate(shown(leaf, *(other.der for other in others)))
    checks = iter(range(x509._MAX_CHECKS))
    verifier = x509.Verifier([certificates.authority().certificate], RealClock())
    ways = verifier._paths([cx509.load_der_x509_certificate(leaf)], [other.certificate for other in others], checks)
    assert list(ways) == []
    assert next(checks, None) is None  # it was given up


async def test_how_long_certificates_have_left_is_counted() -> None:
    ca, clock = certificates.authority(), ControlledClock(NOW.timestamp())
    metrics = AuthenticationMetrics(clock, "server")
    authenticator = x509.CertificateAuthenticator([ca.certificate], clock, metrics)
    leaf = certificates.client(ca, end=NOW + DAY * 3)
    await authenticator.authenticate(shown(leaf))
    await clock.advance(DAY.total_seconds() * 4)
    with pytest.raises(AuthenticationError, match="has expired"):
        await authenticator.authenticate(shown(leaf))
    lines = dict(line.rsplit(" ", 1) for line in metrics.certificate_lives.lines())
    assert lines['apiserver_client_certificate_expiration_seconds_bucket{le="0"}'] == "1"
    assert lines['apiserver_client_certificate_expiration_seconds_bucket{le="172800"}'] == "1"
    assert lines['apiserver_client_certificate_expiration_seconds_bucket{le="345600"}'] == "2"


async def test_garbage_is_refused() -> None:
    with pytest.raises(AuthenticationError):
        await check(certificates.authority()).authenticate(shown(b"\x30\x03abc"))


def front_proxy(ca: certificates.Authority, *names: str) -> FrontProxyAuthenticator:
    return FrontProxyAuthenticator(
        [ca.certificate],
        allowed_names=names,
        username_headers=["X-Remote-User"],
        uid_headers=["X-Remote-Uid"],
        group_headers=["X-Remote-Group"],
        extra_prefixes=["X-Remote-Extra-"],
        clock=RealClock(),
    )


HEADERS = CIMultiDict(
    [
        ("X-Remote-User", "jane"),
        ("X-Remote-Group", "devs"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-Acme.com%2Fproject", "p"),
    ]
)


async def test_a_front_proxy_names_the_user() -> None:
    ca = certificates.authority()
    leaf = certificates.client(ca, "front-proxy-client")
    response = await front_proxy(ca, "front-proxy-client").authenticate(Credentials(HEADERS, leaf))
    assert response is not None
    assert response.user.name == "jane"
    assert list(response.user.groups) == ["devs", "ops"]
    assert response.user.extra == {"acme.com/project": ["p"]}


async def test_headers_of_others_are_not_believed() -> None:
    ca, clients = certificates.authority("front"), certificates.authority("clients")
    assert await front_proxy(ca).authenticate(Credentials(HEADERS)) is None
    with pytest.raises(AuthenticationError, match="unknown authority"):
        await front_proxy(ca).authenticate(Credentials(HEADERS, certificates.client(clients, "jane")))
    with pytest.raises(AuthenticationError, match="not in the allowed list"):
        await front_proxy(ca, "front-proxy-client").authenticate(Credentials(HEADERS, certificates.client(ca, "other")))
