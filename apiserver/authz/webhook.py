"""The webhook authorizer: a SubjectAccessReview is posted to a server elsewhere, and what it answers is the decision.

Answers are remembered for a while, allowances and refusals for their own times. Without an answer there is no opinion (and the
request fails when nobody else has one) or a denial, as the configuration says. Match conditions decide whether it is asked at all.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import orjson

from apimachinery import selectors
from apimachinery.clock import Clock
from apimachinery.selectors import FieldSelector, LabelSelector
from apiserver.authn.user import User
from apiserver.authz.base import Attributes, Decision, Rules
from apiserver.authz.conditions import ConditionsFailed
from apiserver.authz.configuration import Webhook
from apiserver.authz.metrics import AuthorizationMetrics
from apiserver.reviewclient import ReviewClient, ReviewFailed
from serving.expiring import Expiring

log = logging.getLogger(__name__)

_CACHE = 8192
_MOST_KEPT = 10_000  # characters of what a client chooses in a question whose answer is kept
_LONGEST_KEY = 64
_GROUP = "authorization.k8s.io"
Obj = dict[str, Any]


class WebhookAuthorizer:
    """Asks one server. Close it."""

    def __init__(self, name: str, config: Webhook, clock: Clock, metrics: AuthorizationMetrics) -> None:
        """ConfigError when its kubeconfig cannot be used."""
        self._name = name
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._client = ReviewClient(
            config.kubeconfig, f"{_GROUP}/{config.version}", "SubjectAccessReview", clock, timeout=config.timeout
        )
        self._answers: Expiring[bytes, Obj] = Expiring(clock, _CACHE)

    async def close(self) -> None:
        await self._client.close()

    async def authorize(self, a: Attributes) -> Decision:
        spec = spec_of(a)
        if self._config.conditions is not None:
            try:
                if not self._concerned(spec):
                    return Decision("none")
            except ConditionsFailed as error:
                return self._without_answer(str(error))
        key = _key(spec)
        status = self._answers.get(key)
        if status is None:
            try:
                status = await self._ask(spec)
            except ReviewFailed as error:
                log.error("authorization webhook %s: %s", self._name, error)
                if self._config.fails_open:
                    self._metrics.failed_open.add((self._name, error.result))
                return self._without_answer(str(error))
            self._keep(a, key, status)
        return _decision(status)

    async def rules(self, user: User, namespace: str) -> Rules:
        return Rules(incomplete=True, problems=("webhook authorizer does not support user rule resolution",))

    def _without_answer(self, problem: str) -> Decision:
        return Decision("none" if self._config.fails_open else "deny", "", problem)

    def _concerned(self, spec: Obj) -> bool:
        labels = ("Webhook", self._name)
        assert self._config.conditions is not None
        begun = self._clock.monotonic()
        try:
            holds = self._config.conditions.hold(_seen(spec))
        except ConditionsFailed:
            self._metrics.condition_errors.add(labels)
            raise
        finally:
            self._metrics.condition_seconds.observe(self._clock.monotonic() - begun, labels)
        if not holds:
            self._metrics.exclusions.add(labels)
        return holds

    async def _ask(self, spec: Obj) -> Obj:
        def told(result: str, code: int, seconds: float) -> None:
            labels = (self._name, result)
            self._metrics.evaluations.add(labels)
            self._metrics.durations.observe(seconds, labels)

        if self._config.version == "v1beta1" and "groups" in spec:
            # The old version's name for it; the order of the fields is that of its type.
            spec = {("group" if key == "groups" else key): value for key, value in spec.items()}
        return await self._client.ask(spec, told)

    def _keep(self, a: Attributes, key: bytes, status: Obj) -> None:
        ttl = self._config.authorized_ttl if status.get("allowed") else self._config.unauthorized_ttl
        chosen = (a.namespace, a.verb, a.group, a.version, a.plural, a.subresource, a.name, a.path)
        if sum(map(len, chosen)) < _MOST_KEPT and len(status.get("reason") or "") < _MOST_KEPT:
            self._answers.put(key, status, ttl)


def _decision(status: Mapping[str, Any]) -> Decision:
    reason = status.get("reason") or ""
    if status.get("denied"):
        both = "webhook subject access review returned both allow and deny response"
        return Decision("deny", reason, both if status.get("allowed") else "")
    return Decision("allow" if status.get("allowed") else "none", reason)


def _key(spec: Obj) -> bytes:
    raw = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
    return raw if len(raw) <= _LONGEST_KEY else hashlib.sha256(raw).digest()


# -- what is asked


def spec_of(a: Attributes) -> Obj:
    """The question as the spec of a SubjectAccessReview; what is empty is left out."""
    spec: Obj = {}
    if a.resource_request:
        stated = {
            "namespace": a.namespace,
            "verb": a.verb,
            "group": a.group,
            "version": a.version,
            "resource": a.plural,
            "subresource": a.subresource,
            "name": a.name,
        }
        attributes: Obj = {key: value for key, value in stated.items() if value}
        if fields := _field_requirements(a.field_selector):
            attributes["fieldSelector"] = {"requirements": fields}
        if labels := _label_requirements(a.label_selector):
            attributes["labelSelector"] = {"requirements": labels}
        spec["resourceAttributes"] = attributes
    else:
        spec["nonResourceAttributes"] = {k: v for k, v in (("path", a.path), ("verb", a.verb)) if v}
    user = a.user
    if user.name:
        spec["user"] = user.name
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(user.extra[key]) for key in sorted(user.extra)}
    if user.uid:
        spec["uid"] = user.uid
    return spec


def _field_requirements(selector: FieldSelector | None) -> list[Obj]:
    terms = selector.terms if selector is not None else ()
    return [{"key": t.field, "operator": "In" if t.equal else "NotIn", "values": [t.value]} for t in terms]


_LABEL_OPERATORS = {
    selectors.EQUALS: "In",
    selectors.DOUBLE_EQUALS: "In",
    selectors.IN: "In",
    selectors.NOT_EQUALS: "NotIn",
    selectors.NOT_IN: "NotIn",
    selectors.EXISTS: "Exists",
    selectors.DOES_NOT_EXIST: "DoesNotExist",
}


def _label_requirements(selector: LabelSelector | None) -> list[Obj]:
    """Those that a review can say: the others only narrow, so leaving them out asks for more."""
    out = []
    for requirement in selector.requirements if selector is not None else ():
        operator = _LABEL_OPERATORS.get(requirement.operator)
        if operator is not None:
            values = {"values": list(requirement.values)} if requirement.values else {}
            out.append({"key": requirement.key, "operator": operator, **values})
    return out


_TEXTS = ("namespace", "verb", "group", "version", "resource", "subresource", "name")


def _seen(spec: Obj) -> Obj:
    """The spec as expressions see it: texts and lists are there even when empty."""
    out = {
        "user": spec.get("user", ""),
        "groups": spec.get("groups", []),
        "uid": spec.get("uid", ""),
        "extra": spec.get("extra", {}),
    }
    stated = spec.get("resourceAttributes")
    if stated is None:
        path = spec["nonResourceAttributes"]
        return {**out, "nonResourceAttributes": {"path": path.get("path", ""), "verb": path.get("verb", "")}}
    attributes: Obj = {name: stated.get(name, "") for name in _TEXTS}
    for name in ("fieldSelector", "labelSelector"):
        if name in stated:
            requirements = [{**r, "values": r.get("values", [])} for r in stated[name]["requirements"]]
            attributes[name] = {"requirements": requirements}
    return {**out, "resourceAttributes": attributes}
