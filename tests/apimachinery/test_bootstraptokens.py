"""Bootstrap tokens: their form, their Secrets, and the signature by which a machine tells its cluster from another."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac

from apimachinery import bootstraptokens, times

TOKEN = "abcdef", "0123456789abcdef"


def secret(**changes: str | None) -> dict[str, Any]:
    data = {"token-id": TOKEN[0], "token-secret": TOKEN[1], "usage-bootstrap-signing": "true"}
    told = {key.replace("_", "-"): value for key, value in changes.items()}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in (data | told).items() if value}
    return {
        "metadata": {"name": bootstraptokens.SECRET_PREFIX + TOKEN[0]},
        "type": bootstraptokens.SECRET_TYPE,
        "data": encoded,
    }


def test_made_tokens_are_tokens() -> None:
    made = {bootstraptokens.generate() for _ in range(50)}
    assert len(made) == 50
    for token in made:
        parts = bootstraptokens.split(token)
        assert parts is not None
        assert ".".join(parts) == token
        assert bootstraptokens.is_id(parts[0])


@pytest.mark.parametrize(
    "token",
    ["", "abcdef", "abcdef.", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef\n", " a"],
)
def test_what_is_no_token(token: str) -> None:
    assert bootstraptokens.split(token) is None


@pytest.mark.parametrize(
    ("group", "good"),
    [
        ("system:bootstrappers:a", True),
        ("system:bootstrappers:kubeadm:default-node-token", True),
        ("system:bootstrappers", False),
        ("system:bootstrappers:", False),
        ("system:bootstrappers:a-", False),
        ("system:masters", False),
        ("system:bootstrappers:a\n", False),
    ],
)
def test_which_groups_tokens_may_carry(group: str, good: bool) -> None:
    assert bootstraptokens.is_group(group) is good


def test_the_signature_is_the_detached_one_of_rfc_7515() -> None:
    """Computed here anew, by another library."""
    content = "apiVersion: v1\nkind: Config\n# ünïcode\n"
    header, payload, signature = bootstraptokens.sign(content, *TOKEN).split(".")
    assert payload == ""

    def decoded(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    assert json.loads(decoded(header)) == {"alg": "HS256", "kid": "abcdef"}
    mac = hmac.HMAC(TOKEN[1].encode(), hashes.SHA256())
    mac.update(f"{header}.".encode() + base64.urlsafe_b64encode(content.encode()).rstrip(b"="))
    mac.verify(decoded(signature))


def test_only_the_token_signs_only_that_text() -> None:
    signature = bootstraptokens.sign("text", *TOKEN)
    assert bootstraptokens.is_signed("text", signature, *TOKEN)
    for content, made, token_id, key in (
        ("another", signature, *TOKEN),
        ("text", signature, "fedcba", TOKEN[1]),
        ("text", signature, TOKEN[0], TOKEN[1][::-1]),
        ("text", signature[:-1], *TOKEN),
        ("text", "", *TOKEN),
        ("text", "ü" + signature, *TOKEN),
    ):
        assert not bootstraptokens.is_signed(content, made, token_id, key)


def test_which_secrets_sign_and_until_when() -> None:
    now = 1_700_000_000.0
    assert bootstraptokens.signing_secret(secret(), now) == TOKEN
    later = times.format_time(now + 60)
    assert bootstraptokens.signing_secret(secret(expiration=later), now) == TOKEN
    assert bootstraptokens.signing_secret(secret(expiration=later), now + 60) is None
    for refused in (
        secret(expiration="tomorrow"),
        secret(usage_bootstrap_signing="yes"),
        secret(usage_bootstrap_signing=None),
        secret(token_id="fedcba"),
        secret(token_secret=None),
        {**secret(), "type": "Opaque"},
        {**secret(), "data": {"token-id": "%"}},
    ):
        assert bootstraptokens.signing_secret(refused, now) is None


def test_what_is_no_text_is_left_out() -> None:
    data = {"token-id": "YQ==", "a": "/w==", "b": "%%%", "c": None, "d": "ü"}
    assert bootstraptokens.texts({"data": data}) == {"token-id": "a"}
    assert bootstraptokens.texts({}) == {}
