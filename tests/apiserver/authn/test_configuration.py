"""AuthenticationConfigurations and flags: what is taken, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.clock import ControlledClock
from apiserver import authn
from apiserver.authn.oidc.validation import authority_problem
from apiserver.authn.service import Authentication
from apiserver.configscheme import ConfigError
from tests.support import certificates
from tests.support.reader import MemoryObjects

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "configurations.yaml").read_text())
ISSUER = "https://issuer.example"


def build(**config: Any) -> Authentication:
    return authn.build(authn.Config(**config), MemoryObjects(), ControlledClock())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_recorded(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(case["config"])
    if "error" not in case:
        build(authentication_config=path)
        return
    with pytest.raises(ConfigError) as caught:
        build(authentication_config=path)
    assert str(caught.value).replace(str(path), "FILE").rstrip("\n") == case["error"]


def test_too_many_issuers(tmp_path: Path) -> None:
    jwt = [
        {
            "issuer": {"url": f"https://a{at}", "audiences": ["x"]},
            "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
        }
        for at in range(65)
    ]
    path = tmp_path / "config.yaml"
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    path.write_text(yaml.safe_dump({**head, "jwt": jwt}))
    with pytest.raises(ConfigError, match="jwt: Too many: 65: must have at most 64 items"):
        build(authentication_config=path)
    path.write_text(yaml.safe_dump({**head, "jwt": jwt[:64]}))
    build(authentication_config=path)


def test_flags_and_file_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n")
    with pytest.raises(ConfigError, match=r"authentication-config file and oidc-\* flags are mutually exclusive"):
        build(authentication_config=path, oidc_issuer_url=ISSUER, oidc_client_id="c")
    build(authentication_config=path, anonymous_auth=False)
    path.write_text(path.read_text() + "anonymous: {enabled: true}\n")
    with pytest.raises(ConfigError, match="anonymous: Forbidden: --anonymous-auth flag cannot be set when"):
        build(authentication_config=path, anonymous_auth=True)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"oidc_issuer_url": ISSUER}, "oidc-issuer-url and oidc-client-id must be specified together when any oidc-"),
        ({"oidc_groups_claim": "g"}, "oidc-issuer-url and oidc-client-id must be specified together when any oidc-"),
        (
            {"oidc_issuer_url": "http://a", "oidc_client_id": "c"},
            'jwt[0].issuer.url: Invalid value: "http://a": URL scheme',
        ),
        (
            {"oidc_issuer_url": ISSUER, "oidc_client_id": "c", "oidc_signing_algs": ("HS256",)},
            'oidc: unsupported signing alg: "HS256"',
        ),
        (
            {"oidc_issuer_url": ISSUER, "oidc_client_id": "c", "oidc_ca_file": Path("/none")},
            "open /none: no such file or directory",
        ),
        (
            {"service_account_issuer": ("https://a", "https://a")},
            'service-account-issuer "https://a" is already specified',
        ),
        (
            {"service_account_jwks_uri": "http://a/x"},
            "service-account-jwks-uri requires https scheme, parsed as: http://a/x",
        ),
        ({"service_account_max_token_expiration": 10}, "must be between 1 hour and 2^32 seconds"),
        ({"authentication_token_webhook_config_file": Path("/none")}, "stat /none: no such file or directory"),
        (
            {"authentication_token_webhook_config_file": Path("/none"), "authentication_token_webhook_version": "v2"},
            'unsupported authentication webhook version "v2", supported versions are "v1", "v1beta1"',
        ),
    ],
)
def test_flags_that_are_refused(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(**config)
    assert text in str(caught.value)


def test_front_proxies_must_be_told_apart_from_users(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(certificates.authority().pem)
    with pytest.raises(ConfigError, match="--requestheader-allowed-names must be specified"):
        build(client_ca_file=bundle, requestheader_client_ca_file=bundle)
    build(client_ca_file=bundle, requestheader_client_ca_file=bundle, requestheader_allowed_names=("proxy",))


def test_a_bundle_that_was_cut_off_is_told_at_once() -> None:
    whole = certificates.authority().pem.decode()
    assert authority_problem(whole + whole) == ""
    assert authority_problem(whole.replace("\n", "\r\n")) == ""
    for cut in (whole[:400], whole[:400] + "!" + whole[400:], "-----BEGIN CERTIFICATE-----\n" + "A" * 100_000):
        assert authority_problem(cut) == "data does not contain any valid RSA or ECDSA certificates"
