"""Secret: types and the keys they demand, stringData, warnings about TLS pairs."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from apiserver.kinds.core.secret import SECRET
from tests.support.kindtest import GONE, KindTester, changed

tester = KindTester(SECRET)
X = base64.b64encode(b"x").decode()


def secret(kind: str | None, data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    out = {"metadata": {"name": "a", **metadata}, "data": data}
    return out if kind is None else {**out, "type": kind}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_defaults() -> None:
    outcome = tester.create({"metadata": {"name": "a"}, "data": {"a": X}, "stringData": {"a": "é", "b": ""}})
    assert outcome.errors == []
    assert outcome.obj["type"] == "Opaque"
    assert outcome.obj["data"] == {"a": encoded("é"), "b": ""}
    assert "stringData" not in outcome.obj


@pytest.mark.parametrize(
    ("kind", "data", "errors"),
    [
        ("example.com/own", {"anything": X}, []),
        ("kubernetes.io/dockercfg", {".dockercfg": encoded("{}")}, []),
        ("kubernetes.io/dockercfg", {}, ["data[.dockercfg]: Required value"]),
        ("kubernetes.io/dockerconfigjson", {}, ["data[.dockerconfigjson]: Required value"]),
        (
            "kubernetes.io/dockerconfigjson",
            {".dockerconfigjson": X},
            [
                'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
                "invalid character 'x' looking for beginning of value"
            ],
        ),
        (
            "kubernetes.io/dockerconfigjson",
            {".dockerconfigjson": ""},
            ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input'],
        ),
        (
            "kubernetes.io/dockercfg",
            {".dockercfg": encoded("[]")},
            [
                'data[.dockercfg]: Invalid value: "<secret contents redacted>": '
                "json: cannot unmarshal array into Go value of type map[string]interface {}"
            ],
        ),
        ("kubernetes.io/basic-auth", {"username": ""}, []),
        ("kubernetes.io/basic-auth", {}, ["data[username]: Required value", "data[password]: Required value"]),
        ("kubernetes.io/ssh-auth", {"ssh-privatekey": X}, []),
        ("kubernetes.io/ssh-auth", {"ssh-privatekey": ""}, ["data[ssh-privatekey]: Required value"]),
        ("kubernetes.io/tls", {"tls.crt": ""}, ["data[tls.key]: Required value"]),
        (
            "kubernetes.io/service-account-token",
            {},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        ("Opaque", {"a": encoded("x" * (1024 * 1024 + 1))}, ["data: Too long: may not be more than 1048576 bytes"]),
    ],
)
def test_types(kind: str, data: dict[str, str], errors: list[str]) -> None:
    assert tester.create(secret(kind, data)).errors == errors


def test_a_token_names_its_account() -> None:
    annotations = {"kubernetes.io/service-account.name": "default"}
    assert tester.create(secret("kubernetes.io/service-account-token", {}, annotations=annotations)).errors == []


def test_the_type_stays() -> None:
    old = tester.create(secret("kubernetes.io/tls", {"tls.crt": "", "tls.key": ""})).obj
    assert tester.update(secret(None, {}), old).errors == ['type: Invalid value: "Opaque": field is immutable']


def test_immutable_ones_stay() -> None:
    frozen = {**secret("Opaque", {"a": X}), "immutable": True}
    old = tester.create(frozen).obj
    assert tester.update(changed(frozen, {"data.b": X}), old).errors == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert tester.update(changed(frozen, {"immutable": GONE}), old).errors == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]


# -- TLS pairs


def certificate(key: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    start = datetime.datetime(2020, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


KEY = ec.generate_private_key(ec.SECP256R1())
PAIR = certificate(KEY)


@pytest.mark.parametrize(
    ("crt", "key", "warnings"),
    [
        (PAIR, pem(KEY), []),
        ("", "", ["tls: failed to find any PEM data in certificate input"]),
        (PAIR, "", ["tls: failed to find any PEM data in key input"]),
        (PAIR, PAIR, ["tls: found a certificate rather than a key in the PEM for the private key"]),
        (PAIR, pem(ec.generate_private_key(ec.SECP256R1())), ["tls: private key does not match public key"]),
        (
            PAIR,
            pem(ed25519.Ed25519PrivateKey.generate()),
            ["tls: private key type does not match public key type"],
        ),
        (
            pem(KEY),
            PAIR,
            [
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
                "PEM inputs may have been switched"
            ],
        ),
    ],
)
def test_tls_warnings(crt: str, key: str, warnings: list[str]) -> None:
    made = secret("kubernetes.io/tls", {"tls.crt": encoded(crt), "tls.key": encoded(key)})
    assert tester.create(made).warnings == warnings
