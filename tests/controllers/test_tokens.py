import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apimachinery import meta
from apiserver.authn import jose
from client.resources import SECRETS, SERVICE_ACCOUNTS
from controllers import tokens
from controllers.tokens import TokensController
from tests.controllers.harness import Harness
from tests.support import memoryapi

Obj = dict[str, Any]


def write_key(path: Path, key: Any) -> Path:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem)
    return path


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)], ids=["ecdsa", "rsa"]
)
def test_tokens_verify(key: Any, tmp_path: Path) -> None:
    signed = tokens.load_signer(write_key(tmp_path / "sa.key", key))({"iss": "x"})
    assert jose.verify(signed, [jose.Key.of(key.public_key())])["iss"] == "x"


async def test_secrets_are_filled_and_go_with_the_account(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    ca = tmp_path / "ca.crt"
    ca.write_text("PEM")
    options = {"service_account_private_key_file": write_key(tmp_path / "sa.key", key), "root_ca_file": ca}
    async with memoryapi.serve(tmp_path) as (api, client), Harness(api, client, **options) as harness:
        harness.start(TokensController)
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "builder", "namespace": "default"}})
        annotations = {tokens.NAME: "builder"}
        secret = {"metadata": {"name": "t", "namespace": "default", "annotations": annotations}, "type": tokens.TYPE}
        await client.create(SECRETS, secret)
        await harness.until(lambda: (harness.get(SECRETS, "t") or {}).get("data", {}).get("token"))
        filled = harness.get(SECRETS, "t") or {}
        data = {name: base64.b64decode(value).decode() for name, value in filled["data"].items()}
        assert (data["namespace"], data["ca.crt"]) == ("default", "PEM")
        told = jose.verify(data["token"], [jose.Key.of(key.public_key())])
        assert told["sub"] == "system:serviceaccount:default:builder"
        assert meta.annotations(filled)[tokens.UID] == told["kubernetes.io/serviceaccount/service-account.uid"]
        await client.delete(SERVICE_ACCOUNTS, "builder", "default")
        await harness.until(lambda: harness.get(SECRETS, "t") is None)
