"""ABAC: which requests policies allow, and files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apiserver.authn.user import User
from apiserver.authz import abac
from apiserver.authz.base import Attributes
from apiserver.configscheme import ConfigError

JANE = User("jane", groups=("devs", "system:authenticated"))
ANYBODY = User("system:anonymous", groups=("system:unauthenticated",))


def line(**spec: Any) -> str:
    return json.dumps({"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": spec})


async def allows(folder: Path, text: str, a: Attributes) -> bool:
    file = folder / "policies.jsonl"
    file.write_text(f"# a comment\n\n{text}\n")
    decision = await abac.load(file).authorize(a)
    assert decision.allowed or decision.reason == "No policy matched."
    return decision.allowed


def pods(verb: str = "get", user: User = JANE, **rest: Any) -> Attributes:
    return Attributes(user, verb, plural="pods", namespace="ns", **rest)


def path(text: str, verb: str = "get", user: User = JANE) -> Attributes:
    return Attributes(user, verb, resource_request=False, path=text)


EVERYTHING = {"namespace": "*", "resource": "*", "apiGroup": "*"}


@pytest.mark.parametrize(
    ("policy", "asked", "allowed"),
    [
        (line(user="jane", **EVERYTHING), pods("delete"), True),
        (line(user="joe", **EVERYTHING), pods(), False),
        (line(group="devs", **EVERYTHING), pods(), True),
        (line(user="jane", group="ops", **EVERYTHING), pods(), False),
        (line(**EVERYTHING), pods(), False),  # nobody is named
        (line(user="*", **EVERYTHING), pods(), True),
        (line(user="*", **EVERYTHING), pods(user=ANYBODY), False),  # everybody is everybody who is authenticated
        (line(user="jane", readonly=True, **EVERYTHING), pods("list"), True),
        (line(user="jane", readonly=True, **EVERYTHING), pods("create"), False),
        (line(user="jane", namespace="ns", resource="pods"), pods(), True),
        (line(user="jane", namespace="ns", resource="pods", apiGroup="apps"), pods(), False),
        (line(user="jane", namespace="other", resource="pods"), pods(), False),
        (line(user="jane", nonResourcePath="*"), pods(), False),
        (line(user="jane", nonResourcePath="/version"), path("/version"), True),
        (line(user="jane", nonResourcePath="/api*"), path("/apis/x"), True),
        (line(user="jane", nonResourcePath="/api"), path("/apis"), False),
        (line(user="jane", **EVERYTHING), path("/version"), False),
        ('{"user":"jane"}', pods("delete"), True),
        ('{"user":"jane"}', path("/x", "post"), True),
        ('{"user":"jane","resource":"pods","readonly":true}', pods("create"), False),
        ('{"user":"jane","resource":"pods"}', path("/x"), False),
        ('{"resource":"pods"}', pods(), True),
        ('{"resource":"pods"}', pods(user=ANYBODY), False),
        ('{"apiVersion":"abac.authorization.kubernetes.io/v0","kind":"Policy","user":"jane"}', pods(), True),
    ],
)  # fmt: skip
async def test_what_a_policy_allows(policy: str, asked: Attributes, allowed: bool, tmp_path: Path) -> None:
    assert await allows(tmp_path, policy, asked) is allowed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (line(user=1), "json: cannot unmarshal number into Go struct field PolicySpec.spec.user of type string"),
        ('{"user":3}', "json: cannot unmarshal number into Go struct field Policy.user of type string"),
        ('{"a":', "couldn't get version/kind; json parse error: unexpected end of JSON input"),
        ('{"apiVersion":"v1","kind":"Pod"}',
         'no kind "Pod" is registered for version "v1" in scheme "pkg/apis/abac/register.go:33"'),
        ('{"apiVersion":"abac.authorization.kubernetes.io/v1beta1"}',
         "converting (v1beta1.Policy) to (v0.Policy): unknown conversion"),
    ],
)  # fmt: skip
def test_lines_that_cannot_be_read_are_named(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "policies"
    file.write_text(f"\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        abac.load(file)
    assert str(caught.value) == f"error reading policy file {file}, line 2: {text}: {problem}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^open /nonexistent: no such file or directory$"):
        abac.load(Path("/nonexistent"))
    file = tmp_path / "policies"
    file.write_text('{"user":"' + "a" * 70_000 + '"}')
    with pytest.raises(ConfigError, match=r"bufio.Scanner: token too long$"):
        abac.load(file)


async def test_the_rules_of_a_user(tmp_path: Path) -> None:
    file = tmp_path / "policies"
    lines = (
        line(user="jane", readonly=True, namespace="ns", resource="pods"),
        line(user="joe", **EVERYTHING),
        line(group="devs", namespace="*", nonResourcePath="/x"),
    )
    file.write_text("\n".join(lines))
    rules = await abac.load(file).rules(JANE, "ns")
    assert rules.resources == [{"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}]
    assert rules.paths == [{"verbs": ["*"], "nonResourceURLs": ["/x"]}]
    assert not rules.incomplete
