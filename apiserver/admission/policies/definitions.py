"""Policies and their bindings: compiled when they change, matched against requests, given their parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from apimachinery import errors, selectors
from apimachinery.gvk import split_api_version
from apimachinery.selectors import LabelSelector
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.admission.policies.evaluation import Decisions, Evaluation, Seen
from apiserver.admission.versions import in_version
from apiserver.admission.webhooks.hooks import Rule
from apiserver.kinds.admissionregistration import policies
from apiserver.registry.conversion import running
from apiserver.registry.kind import Kind, Obj
from apiserver.registry.lookup import Lookup
from apiserver.validation import expressions
from apiserver.validation.expressions import Expression, Scope

log = logging.getLogger(__name__)

GROUP = "admissionregistration.k8s.io"
# A policy could lock everybody out of removing it.
_OWN = frozenset(
    (
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)
# Questions, not objects.
_REVIEWS = frozenset(
    (
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    )
)


class Misconfigured(Exception):
    """A policy or binding that cannot be applied to a request; what that leads to is its failure policy's business."""


def handles(operation: Operation, group: str, plural: str, subresource: str) -> bool:
    return not (group == GROUP and plural in _OWN) and (group, plural) not in _REVIEWS


# -- which requests


@dataclass(frozen=True, slots=True)
class Match:
    """matchConstraints of a policy or matchResources of a binding."""

    rules: tuple[tuple[Rule, frozenset[str]], ...] = ()
    excluded: tuple[tuple[Rule, frozenset[str]], ...] = ()
    namespaces: LabelSelector = field(default_factory=LabelSelector)
    objects: LabelSelector = field(default_factory=LabelSelector)
    equivalent: bool = True

    @classmethod
    def of(cls, raw: Obj | None) -> Match:
        """SelectorError when a selector cannot be read."""
        raw = raw or {}
        return cls(
            tuple(map(_rule, raw.get("resourceRules") or ())),
            tuple(map(_rule, raw.get("excludeResourceRules") or ())),
            selectors.from_object(raw.get("namespaceSelector") or {}),
            selectors.from_object(raw.get("objectSelector") or {}),
            raw.get("matchPolicy") != "Exact",
        )

    def find(self, a: Attributes, namespace: Callable[[], Mapping[str, str] | None]) -> str | None:
        """The version in which the request is concerned, None when it is not. namespace: its namespace's labels.

        Misconfigured when the namespace is not there.
        """
        if not self._selects_object(a):
            return None
        if self._version(self.excluded, a) is not None:
            return None
        version = self._version(self.rules, a) if self.rules else a.version
        if version is None or not self._selects_namespace(a, namespace):
            return None
        return version

    def _selects_object(self, a: Attributes) -> bool:
        if self.objects.empty:
            return True
        metadata = [obj.get("metadata") for obj in (a.obj, a.old) if obj is not None]
        return any(isinstance(meta, dict) and self.objects.matches(meta.get("labels")) for meta in metadata)

    def _selects_namespace(self, a: Attributes, namespace: Callable[[], Mapping[str, str] | None]) -> bool:
        return self.namespaces.empty or not concerns_namespace(a) or self.namespaces.matches(namespace())

    def _version(self, rules: Sequence[tuple[Rule, frozenset[str]]], a: Attributes) -> str | None:
        versions = [a.version]
        if self.equivalent and a.kind is not None:
            versions += [version for version in a.kind.versions if version != a.version]
        for version in versions:
            for rule, names in rules:
                if rule.matches(a, a.group, version, a.plural) and (not names or a.name in names):
                    return version
        return None


def concerns_namespace(a: Attributes) -> bool:
    """Whether the request is about a namespace or something in one."""
    return bool(a.namespace) or (a.group, a.plural) == ("", "namespaces")


def _rule(raw: Obj) -> tuple[Rule, frozenset[str]]:
    resources = []
    for text in raw.get("resources") or ():
        plural, _, subresource = text.partition("/")
        resources.append((plural, subresource))
    rule = Rule(
        frozenset(raw.get("operations") or ()),
        frozenset(raw.get("apiGroups") or ()),
        frozenset(raw.get("apiVersions") or ()),
        tuple(resources),
        raw.get("scope") or "*",
    )
    return rule, frozenset(raw.get("resourceNames") or ())


# -- policies


@dataclass(slots=True)
class Policy:
    """What validating and mutating policies have in common, compiled."""

    raw: Obj
    name: str
    match: Match
    scope: Scope
    variables: dict[str, Expression]
    conditions: list[Expression]

    @property
    def ignores_failures(self) -> bool:
        return bool(self.raw["spec"].get("failurePolicy") == "Ignore")


def compile_policy(raw: Obj, *, mutation: bool) -> Policy:
    """SelectorError when it cannot be matched at all; expressions that do not compile fail when they are evaluated."""
    spec = raw["spec"]
    scope = policies.scope_of(spec, mutation=mutation)
    variables = {v["name"]: scope.add_variable(v["name"], v["expression"]) for v in spec.get("variables") or ()}
    conditions = [scope.compile(c["expression"], expressions.BOOL) for c in spec.get("matchConditions") or ()]
    match = Match.of(spec.get("matchConstraints"))
    return Policy(raw, raw["metadata"]["name"], match, scope, variables, conditions)


@dataclass(frozen=True, slots=True)
class Binding:
    raw: Obj
    name: str
    match: Match | None

    @property
    def spec(self) -> Obj:
        found: Obj = self.raw["spec"]
        return found


P = TypeVar("P")


class Bound(NamedTuple, Generic[P]):
    """A policy with what its kind has of its own and its bindings."""

    policy: Policy
    parts: P
    bindings: list[Binding]


class Invocation(NamedTuple, Generic[P]):
    """A policy that concerns a request through a binding: in which version, with which parameters."""

    policy: Policy
    parts: P
    binding: Binding
    version: str
    param: Obj | None


class Problem(NamedTuple):
    """Why a policy cannot tell whether, or how, it concerns a request. binding: "" when it is not one's fault."""

    policy: Policy
    binding: str
    text: str


class Definitions(Generic[P]):
    """The policies of one kind, with their bindings. parts: compiles what the kind has of its own, once per change."""

    def __init__(
        self, env: Env, plural: str, bindings: str, parts: Callable[[Policy], P], *, mutation: bool = False
    ) -> None:
        self._env = env
        self._policies = Lookup(env.reader, GROUP, plural)
        self._bindings = Lookup(env.reader, GROUP, bindings)
        self._namespaces = Lookup(env.reader, "", "namespaces")
        self._parts = parts
        self._mutation = mutation
        self._compiled: dict[str, tuple[str, Policy, P]] = {}
        self._sources: tuple[list[Obj], list[Obj]] | None = None
        self._current: list[Bound[P]] = []

    async def current(self) -> list[Bound[P]]:
        """The policies that have bindings, by name."""
        sources = (await self._policies.list(), await self._bindings.list())
        known = self._sources
        if known is None or known[0] is not sources[0] or known[1] is not sources[1]:
            self._current = self._join(*sources)
            self._sources = sources
        return self._current

    def _join(self, found: list[Obj], bindings: list[Obj]) -> list[Bound[P]]:
        by_policy: dict[str, list[Binding]] = {}
        for raw in sorted(bindings, key=_name):
            binding = _binding(raw)
            if binding is not None:
                by_policy.setdefault(raw["spec"].get("policyName", ""), []).append(binding)
        out = []
        kept = {}
        for raw in sorted(found, key=_name):
            name = _name(raw)
            if name not in by_policy:
                continue
            revision = str(raw["metadata"].get("resourceVersion"))
            before = self._compiled.get(name)
            if before is None or before[0] != revision:
                try:
                    policy = compile_policy(raw, mutation=self._mutation)
                except selectors.SelectorError:
                    log.exception("admission policy %s has an unreadable selector and is not applied", name)
                    continue
                before = (revision, policy, self._parts(policy))
            kept[name] = before
            out.append(Bound(before[1], before[2], by_policy[name]))
        self._compiled = kept
        return out

    async def concerned(self, a: Attributes, namespace: Obj | None) -> list[Invocation[P] | Problem]:
        """By policy and binding. namespace: see namespace_of."""
        labels = _labels_of(a, namespace)
        found: list[Invocation[P] | Problem] = []
        for policy, parts, bindings in await self.current():
            try:
                version = policy.match.find(a, labels)
            except Misconfigured as error:
                found.append(Problem(policy, "", f"failed to configure policy: {error}"))
                continue
            if version is None:
                continue
            try:
                _param_kind(a, policy.raw["spec"])
            except Misconfigured as error:
                found.append(Problem(policy, "", f"failed to configure policy: {error}"))
                continue
            for binding in bindings:
                try:
                    if binding.match is None or binding.match.find(a, labels) is not None:
                        for param in await params_of(a, self._env, policy.raw["spec"], binding.spec):
                            found.append(Invocation(policy, parts, binding, version, param))
                except Misconfigured as error:
                    found.append(Problem(policy, binding.name, f"failed to configure binding: {error}"))
        return found

    async def namespace_of(self, a: Attributes) -> Obj | None:
        """The namespace that the request is about or in: as it will be when it is written; None when there is none."""
        if (a.group, a.plural) == ("", "namespaces") and a.operation in ("CREATE", "UPDATE") and a.obj is not None:
            return a.obj
        name = a.namespace or (a.name if (a.group, a.plural) == ("", "namespaces") else "")
        return await self._namespaces.get(None, name) if name else None


def _name(raw: Obj) -> str:
    return str(raw["metadata"]["name"])


def _binding(raw: Obj) -> Binding | None:
    match = raw["spec"].get("matchResources")
    try:
        return Binding(raw, _name(raw), Match.of(match) if match is not None else None)
    except selectors.SelectorError:
        log.exception("admission policy binding %s has an unreadable selector and is not applied", _name(raw))
        return None


def _labels_of(a: Attributes, namespace: Obj | None) -> Callable[[], Mapping[str, str] | None]:
    """For Match.find."""

    def labels() -> Mapping[str, str] | None:
        if namespace is None:
            raise Misconfigured(str(errors.not_found("", "namespaces", a.namespace or a.name).message))
        found: Mapping[str, str] | None = (namespace.get("metadata") or {}).get("labels")
        return found

    return labels


async def evaluation(
    a: Attributes, invocation: Invocation[P], decisions: Decisions, namespace: Obj | None
) -> Evaluation:
    """What the policy's expressions are evaluated on. namespace: see Definitions.namespace_of."""
    version = invocation.version

    async def convert() -> Seen:
        obj, old = (in_version(a, found, a.group, version) for found in (a.obj, a.old))
        return Seen(a.group, version, a.plural, obj, old)

    inside = None if (a.group, a.plural) == ("", "namespaces") else namespace
    seen = await running(a.kind, convert)
    return Evaluation(a, seen, decisions, invocation.param, inside, invocation.policy.variables)


# -- parameters


async def params_of(a: Attributes, env: Env, spec: Obj, binding: Obj) -> list[Obj | None]:
    """The parameters of a policy and a binding: [None] where there are none to be had. Misconfigured."""
    kind, ref = _param_kind(a, spec), binding.get("paramRef")
    if kind is None or ref is None:
        return [None]
    version = split_api_version(spec["paramKind"].get("apiVersion") or "")[1]
    namespace = _params_namespace(a, kind, ref)
    found = await _find_params(env, kind, namespace, ref)
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")

    async def converted() -> list[Obj | None]:
        return [_typed(kind, obj, version) for obj in found]

    return await running(kind, converted)


def _param_kind(a: Attributes, spec: Obj) -> Kind | None:
    """The kind of a policy's parameters, if it has any. Misconfigured when nothing of that kind is served."""
    wanted = spec.get("paramKind")
    if wanted is None:
        return None
    group, version = split_api_version(wanted.get("apiVersion") or "")
    kind: Kind | None = a.services["resource-of-kind"](group, wanted.get("kind") or "")
    if kind is None or version not in kind.versions:
        shown = f"{group}/{version}, Kind={wanted.get('kind')}"
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{shown}'")
    return kind


def _params_namespace(a: Attributes, kind: Kind, ref: Obj) -> str | None:
    given: str | None = ref.get("namespace") or None
    if not kind.namespaced:
        if given:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return None
    own = a.name if (a.group, a.plural) == ("", "namespaces") else a.namespace
    if given or own:
        return given or own
    raise Misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")


async def _find_params(env: Env, kind: Kind, namespace: str | None, ref: Obj) -> list[Obj]:
    if ref.get("name"):
        found = await env.reader.get(kind.group, kind.plural, namespace, ref["name"])
        return [found] if found is not None else []
    selector = selectors.from_object(ref.get("selector") or {})
    objects = await env.reader.list(kind.group, kind.plural, namespace)
    return [obj for obj in objects if selector.matches(obj["metadata"].get("labels"))]


def _typed(kind: Kind, obj: Obj, version: str) -> Obj:
    stored: Any = {**obj, "kind": kind.kind, "apiVersion": kind.api_version(kind.storage_version)}
    return stored if version == kind.storage_version else kind.convert(stored, kind.storage_version, version)
