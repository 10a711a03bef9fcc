"""The webhook authorizer against a real TLS server: what is sent, what is made of answers, what is remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from apimachinery import selectors
from apimachinery.clock import ControlledClock, settle
from apiserver import authz
from apiserver.authn.user import User
from apiserver.authz.base import Attributes, Decision
from apiserver.authz.service import Authorization
from serving.metrics import Counter, Labels
from tests.support import apiserver, servers
from tests.support.reader import MemoryObjects

JANE = User("jane", "j1", ("devs",), {"b": ("1",), "a": ("2", "3")})
CONFIG = """apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: hook
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: {version}
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: {policy}
    connectionInfo: {{type: KubeConfigFile, kubeConfigFile: {file}}}
    matchConditions:
    - expression: "!has(request.resourceAttributes) || request.resourceAttributes.namespace != 'skipped'"
    - expression: "request.user != 'broken' || request.extra['x'][0] == 'a'"
- {{type: AlwaysDeny, name: alwaysdeny}}
"""


@dataclass
class Hook:
    """The server: answers with `status` (or bytes), after the codes in `codes`; keeps what it was sent."""

    status: Any = field(default_factory=lambda: {"allowed": True, "reason": "fine"})
    codes: list[int] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    requests: list[web.BaseRequest] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.read())
        self.requests.append(request)
        self.seen.append(review)
        if self.codes:
            return web.Response(status=self.codes.pop(0), text="oops")
        if isinstance(self.status, bytes):
            return web.Response(body=self.status, content_type="application/json")
        return web.json_response({**review, "status": self.status})


def kubeconfig(folder: Path, listener: servers.Listener) -> Path:
    file = folder / "hook.kubeconfig"
    cluster = {"server": f"https://127.0.0.1:{listener.port}/authorize", "certificate-authority-data": listener.bundle}
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return file


@dataclass
class World:
    hook: Hook
    chain: Authorization
    clock: ControlledClock

    async def ask(self, user: User = JANE, **rest: Any) -> Decision:
        asked = {"verb": "list", "version": "v1", "plural": "pods", "namespace": "ns", **rest}
        return await self.chain.authorize(Attributes(user, **asked))


@asynccontextmanager
async def world(folder: Path, policy: str = "NoOpinion", version: str = "v1") -> AsyncIterator[World]:
    hook, clock = Hook(), ControlledClock()
    async with servers.listening(folder, hook.answer) as listener:
        file = folder / "authorizers.yaml"
        file.write_text(CONFIG.format(policy=policy, version=version, file=kubeconfig(folder, listener)))
        chain = authz.build(authz.Config(authorization_config=file), MemoryObjects(), clock)
        try:
            yield World(hook, chain, clock)
        finally:
            await chain.close()


async def test_what_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        decision = await w.ask(
            name="p",
            subresource="log",
            field_selector=selectors.parse_fields("spec.nodeName=n1,metadata.name!=x"),
            label_selector=selectors.parse_labels("a in (z,b),c,!d,e=f,g>3"),
        )
        assert decision == Decision("allow", "fine")
        (request,) = w.hook.requests
        assert (request.path_qs, request.headers["Authorization"]) == ("/authorize?timeout=3s", "Bearer secret")
        attributes = {
            "namespace": "ns",
            "verb": "list",
            "version": "v1",
            "resource": "pods",
            "subresource": "log",
            "name": "p",
            "fieldSelector": {
                "requirements": [
                    {"key": "metadata.name", "operator": "NotIn", "values": ["x"]},
                    {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                ]
            },
            "labelSelector": {
                "requirements": [
                    {"key": "a", "operator": "In", "values": ["b", "z"]},
                    {"key": "c", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                    {"key": "e", "operator": "In", "values": ["f"]},
                ]
            },
        }
        spec = {
            "resourceAttributes": attributes,
            "user": "jane",
            "groups": ["devs"],
            "extra": {"a": ["2", "3"], "b": ["1"]},
            "uid": "j1",
        }
        assert w.hook.seen == [
            {
                "kind": "SubjectAccessReview",
                "apiVersion": "authorization.k8s.io/v1",
                "metadata": {},
                "spec": spec,
                "status": {"allowed": False},
            }
        ]


async def test_the_old_version_has_another_name_for_groups(tmp_path: Path) -> None:
    async with world(tmp_path, version="v1beta1") as w:
        assert (await w.chain.authorize(Attributes(JANE, "get", resource_request=False, path="/x"))).allowed
        (review,) = w.hook.seen
        assert review["apiVersion"] == "authorization.k8s.io/v1beta1"
        assert review["spec"]["group"] == ["devs"]
        assert review["spec"]["nonResourceAttributes"] == {"path": "/x", "verb": "get"}


NOT_ONE = "Everything is forbidden."
BOTH = "webhook subject access review returned both allow and deny response"
BAD_TYPE = "json: cannot unmarshal string into Go struct field SubjectAccessReviewStatus.status.allowed of type bool"


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        ({"allowed": False, "reason": "no"}, Decision("none", f"no\n{NOT_ONE}")),
        ({"allowed": False, "denied": True, "reason": "never"}, Decision("deny", "never")),
        ({"allowed": True, "denied": True}, Decision("deny", "", BOTH)),
        ({"allowed": "yes"}, Decision("none", NOT_ONE, BAD_TYPE)),
        (b"", Decision("none", NOT_ONE, "0-length response with status code: 200 and content type: application/json")),
        (
            b'{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1beta1"}',
            Decision(
                "none",
                NOT_ONE,
                "converting (v1beta1.SubjectAccessReview) to (v1.SubjectAccessReview): unknown conversion",
            ),
        ),
    ],
)
async def test_what_is_made_of_answers(status: Any, decision: Decision, tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.hook.status = status
        assert await w.ask() == decision


async def test_without_an_answer_the_policy_decides(tmp_path: Path) -> None:
    async with world(tmp_path, "NoOpinion") as w:
        w.hook.codes = [404]
        text = "the server could not find the requested resource"
        assert await w.ask() == Decision("none", NOT_ONE, text)
        assert w.chain.metrics.failed_open.values == {("hook", "error"): 1}
    async with world(tmp_path, "Deny") as w:
        w.hook.codes = [403]
        assert await w.ask() == Decision("deny", "", "oops")
        assert w.chain.metrics.failed_open.values == {}


class Announced(Counter):
    """A counter that can be waited for."""

    def __init__(self, *described: Any) -> None:
        super().__init__(*described)
        self.counted = asyncio.Semaphore(0)

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        super().add(labels, amount)
        self.counted.release()


async def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.hook.codes = [500, 429, 504, 502]
        counter = w.chain.metrics.evaluations = Announced("evaluations", "", ("name", "result"))
        asking = asyncio.ensure_future(w.ask())
        for pause in (0.6, 0.9, 1.35, 2.1):
            await counter.counted.acquire()
            await settle()
            await w.clock.advance(pause)
        assert (await asking).allowed
        assert len(w.hook.seen) == 5
        assert counter.values == {("hook", "error"): 3, ("hook", "timeout"): 1, ("hook", "success"): 1}


async def test_answers_are_remembered_for_their_time(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for _ in range(3):
            assert (await w.ask()).allowed
        assert len(w.hook.seen) == 1
        await w.ask(label_selector=selectors.parse_labels("a=b"))
        assert len(w.hook.seen) == 2  # another question
        w.hook.status = {"allowed": False}
        await w.clock.advance(299)
        assert (await w.ask()).allowed
        await w.clock.advance(2)
        assert not (await w.ask()).allowed
        w.hook.status = {"allowed": True}
        await w.clock.advance(29)
        assert not (await w.ask()).allowed
        await w.clock.advance(2)
        assert (await w.ask()).allowed
        asked = len(w.hook.seen)
        for _ in range(2):
            await w.ask(name="x" * 10_000)  # too large a question to be kept
        assert len(w.hook.seen) == asked + 2


async def test_match_conditions(tmp_path: Path) -> None:
    failed = (
        "cel evaluation error: expression 'request.user != 'broken' || request.extra['x'][0] == 'a'' resulted in error: "
        "no such key: x"
    )
    async with world(tmp_path) as w:
        assert await w.ask(namespace="skipped") == Decision("none", NOT_ONE)
        assert await w.ask(User("broken")) == Decision("none", NOT_ONE, failed)
        assert (await w.ask(User("broken", extra={"x": ("a",)}))).allowed
        assert len(w.hook.seen) == 1
        metrics = w.chain.metrics
        assert metrics.exclusions.values == {("Webhook", "hook"): 1}
        assert metrics.condition_errors.values == {("Webhook", "hook"): 1}
    async with world(tmp_path, "Deny") as w:
        assert await w.ask(User("broken")) == Decision("deny", "", failed)


async def test_a_server_that_asks_a_webhook(tmp_path: Path) -> None:
    hook = Hook()
    async with servers.listening(tmp_path, hook.answer) as listener:
        config = authz.Config(
            ("Webhook", "RBAC"),
            authorization_webhook_config_file=kubeconfig(tmp_path, listener),
            authorization_webhook_version="v1",
        )
        async with apiserver.running(tmp_path / "data", authz=config) as api:
            api.token = "plaintoken"
            answer = await api.get("/api/v1/namespaces/default/pods", labelSelector="a=b")
            assert answer.code == 200
            sent = hook.seen[-1]["spec"]["resourceAttributes"]
            assert sent["labelSelector"] == {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}
            hook.codes = [418]
            answer = await api.get("/api/v1/namespaces/default/secrets")
            assert (answer.code, answer.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
            assert answer.raw == (
                b'Internal Server Error: "/api/v1/namespaces/default/secrets": the server responded with the status code 418 '
                b"but did not return more information\n"
            )
            api.token = "admintoken"
            asked = len(hook.seen)
            metrics = (await api.get("/metrics")).raw.decode()
            assert len(hook.seen) == asked  # system:masters are not asked about
            assert (
                'apiserver_authorization_decisions_total{type="Webhook",name="default",decision="allowed"}' in metrics
            )
            for result in ("allowed", "error"):
                assert f'authorization_attempts_total{{result="{result}"}}' in metrics
                assert f'authorization_duration_seconds_count{{result="{result}"}}' in metrics
            assert 'apiserver_authorization_webhook_evaluations_total{name="default",result="error"} 1' in metrics
