"""The chain of authorizers: what flags and files may say, in the original's words, and what comes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apimachinery.clock import ControlledClock
from apiserver import authz
from apiserver.authn.user import User
from apiserver.authz import configuration
from apiserver.authz.base import Attributes
from apiserver.authz.configuration import from_flags, load
from apiserver.authz.service import Authorization
from apiserver.configscheme import ConfigError
from tests.support.reader import MemoryObjects

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n"
LOADING = "failed to load AuthorizationConfiguration from file: "


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text.encode())
    return str(caught.value)


def webhook(kubeconfig: str = __file__, **fields: str) -> str:
    said = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": f"{{type: KubeConfigFile, kubeConfigFile: {kubeconfig}}}",
        **fields,
    }
    lines = "".join(f"    {name}: {value}\n" for name, value in said.items())
    return f"{HEAD}authorizers:\n- type: Webhook\n  name: hook\n  webhook:\n{lines}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "authorizers: Required value: at least one authorization mode must be defined"),
        (HEAD + "foo: 1\nauthorizers: [{type: RBAC, bar: x}]\n",
         LOADING + 'strict decoding error: unknown field "authorizers[0].bar", unknown field "foo"'),
        (HEAD.replace("/v1\n", "/v2\n"),
         LOADING + 'no kind "AuthorizationConfiguration" is registered for version "apiserver.config.k8s.io/v2" in scheme '
         '"k8s.io/apiserver/pkg/apis/apiserver/load/load.go:32"'),
        ("kind: AuthorizationConfiguration\n",
         LOADING + "Object 'apiVersion' is missing in 'kind: AuthorizationConfiguration\n'"),
        (HEAD.replace("Authorization", "Admission"),
         LOADING + "expected AuthorizationConfiguration, got *apiserver.AdmissionConfiguration"),
        (webhook(authorizedTTL="abc"), LOADING + 'time: invalid duration "abc"'),
        (HEAD + "authorizers: [{type: Node, name: 3}]\n",
         LOADING + "json: cannot unmarshal number into Go struct field AuthorizerConfiguration.authorizers.name of type string"),
        (HEAD + "authorizers: [{type: Foo}, {type: RBAC, name: rbac}, {type: RBAC, name: b}, {name: x}]\n",
         '[authorizers[0].type: Unsupported value: "Foo": supported values: "ABAC", "AlwaysAllow", "AlwaysDeny", "Node", '
         '"RBAC", "Webhook", authorizers[2].type: Duplicate value: "RBAC", authorizers[3].type: Required value]'),
        (HEAD + "authorizers: [{type: Node, name: a, webhook: {}}, {type: Webhook, name: a}]\n",
         '[authorizers[0].webhook: Invalid value: "non-null": may only be specified when type=Webhook, '
         'authorizers[1].name: Duplicate value: "a", authorizers[1].webhook: Required value: required when type=Webhook]'),
        (HEAD + "authorizers: [{type: Node, name: nod}]\n", "expected name node for authorizer Node instead of nod"),
        (webhook(timeout="31s", authorizedTTL="-1s", unauthorizedTTL="-2s"),
         '[authorizers[0].timeout: Invalid value: "31s": must be > 0s and <= 30s, authorizers[0].authorizedTTL: Invalid '
         'value: "-1s": must be > 0s, authorizers[0].unauthorizedTTL: Invalid value: "-2s": must be > 0s]'),
        (webhook(failurePolicy="x", subjectAccessReviewVersion="v2"),
         'authorizers[0].subjectAccessReviewVersion: Unsupported value: "v2": supported values: "v1", "v1beta1", '
         'authorizers[0].failurePolicy: Unsupported value: "x": supported values: "NoOpinion", "Deny"'.join("[]")),
        (webhook(kubeconfig="a"),
         'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "a": must be an absolute path'),
        (webhook(kubeconfig="/tmp"),
         'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/tmp": must be a regular file'),
        (webhook(kubeconfig="/nonex"),
         'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/nonex": error loading file: stat /nonex: no such '
         "file or directory"),
    ],
)  # fmt: skip
def test_files_that_are_refused(text: str, message: str) -> None:
    assert refused(text) == message


def test_match_conditions_are_compiled_and_judged(tmp_path: Path) -> None:
    expressions = ("", "request.user", "request.foo == 1", "true", "true")
    said = "[" + ", ".join(f'{{expression: "{text}"}}' for text in expressions) + "]"
    file = tmp_path / "kubeconfig"
    file.touch()
    text = refused(webhook(str(file), matchConditions=said, matchConditionSubjectAccessReviewVersion="v1"))
    path = "authorizers[0].matchConditions"
    assert text == (
        f'[{path}[0].expression: Required value, {path}[1].expression: Invalid value: "request.user": must evaluate to bool '
        f'but got string, {path}[2].expression: Invalid value: "request.foo == 1": compilation failed: '
        "ERROR: <input>:1:8: undefined field 'foo'\n | request.foo == 1\n | .......^, "
        f'{path}[4].expression: Duplicate value: "true"]'
    )
    text = refused(webhook(str(file), matchConditions='[{expression: "true"}]'))
    assert text == (
        "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified"
    )
    many = "[" + ",".join(f'{{expression: "{n} == 0"}}' for n in range(65)) + "]"
    text = refused(webhook(str(file), matchConditions=many, matchConditionSubjectAccessReviewVersion="v1"))
    assert text == f"{path}: Too many: 65: must have at most 64 items"


def test_what_a_webhook_gets_by_default(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.touch()
    (found,) = load(webhook(str(file)).encode())
    assert found.webhook is not None
    assert (found.webhook.authorized_ttl, found.webhook.unauthorized_ttl) == (300, 30)
    assert not found.webhook.fails_open
    (found,) = load(webhook(str(file), cacheAuthorizedRequests="false", failurePolicy="NoOpinion").encode())
    assert found.webhook is not None
    assert (found.webhook.authorized_ttl, found.webhook.unauthorized_ttl, found.webhook.fails_open) == (0, 30, True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (authz.Config(("Foo", "Bar")),
         '[authorization-mode "Foo" is not a valid mode, authorization-mode "Bar" is not a valid mode]'),
        (authz.Config(("RBAC", "RBAC")), 'authorization-mode ["RBAC" "RBAC"] has mode specified more than once'),
        (authz.Config(("ABAC",)), "authorization-mode ABAC's authorization policy file not passed"),
        (authz.Config(("Webhook",)), "authorization-mode Webhook's authorization config file not passed"),
        (authz.Config(authorization_policy_file=Path("/x")),
         "cannot specify --authorization-policy-file without mode ABAC"),
        (authz.Config(authorization_webhook_config_file=Path("/x")),
         "cannot specify --authorization-webhook-config-file without mode Webhook"),
        (authz.Config(()), "at least one authorization-mode must be passed"),
        (authz.Config(("AlwaysAllow",)), configuration.NO_ALWAYS_ALLOW),
        (authz.Config(("Webhook",), authorization_webhook_config_file=Path("/x"), authorization_webhook_version="v3"),
         'invalid authorization config: unsupported webhook authorizer version "v3", supported versions are "v1", "v1beta1"'),
    ],
)  # fmt: skip
def test_flags_that_are_refused(config: authz.Config, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_flags(config)
    assert str(caught.value) == message


def test_nobody_is_let_in_by_a_file_either() -> None:
    assert refused(HEAD + "authorizers: [{type: AlwaysAllow, name: alwaysallow}]\n") == configuration.NO_ALWAYS_ALLOW


def build(config: authz.Config) -> Authorization:
    return authz.build(config, MemoryObjects(), ControlledClock())


def test_a_file_and_flags_exclude_each_other(tmp_path: Path) -> None:
    file = tmp_path / "authorizers.yaml"
    file.write_text(HEAD + "authorizers: [{type: RBAC, name: rbac}]\n")
    build(authz.Config(authorization_config=file))
    for also in ({"authorization_mode": ("RBAC",)}, {"authorization_webhook_version": "v1"}):
        with pytest.raises(ConfigError, match="--authorization-config can not be specified when"):
            build(authz.Config(authorization_config=file, **also))


async def test_the_file_is_followed_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "authorizers.yaml"
    file.write_text(HEAD + "authorizers: [{type: RBAC, name: rbac}]\n")
    chain = build(authz.Config(authorization_config=file))
    asked = Attributes(User("jane"), "get", plural="pods")
    assert (await chain.authorize(asked)).reason == ""

    async def write(text: str) -> None:
        new = tmp_path / "new"
        new.write_text(text)
        os.replace(new, file)
        assert chain.reloading is not None
        await chain.reloading.check()

    await write(HEAD + "authorizers: [{type: RBAC, name: rbac}, {type: AlwaysDeny, name: alwaysdeny}]\n")
    assert (await chain.authorize(asked)).reason == "Everything is forbidden."
    config = chain.metrics.config
    assert config.reloads.values == {("success", ""): 1}
    for bad in (
        "authorizers: []\n",  # nothing
        "authorizers: [{type: AlwaysDeny, name: alwaysdeny}]\n",  # RBAC was there at the start
        "authorizers: [{type: RBAC, name: rbac}, {type: Node, name: node}]\n",  # Node was not
    ):
        await write(HEAD + bad)
        assert (await chain.authorize(asked)).reason == "Everything is forbidden."
    assert config.reloads.values == {("success", ""): 1, ("failure", ""): 3}
    await write(HEAD + "authorizers: [{type: RBAC, name: rbac}]\n")
    assert (await chain.authorize(asked)).reason == ""
