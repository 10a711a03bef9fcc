"""Which webhooks are configured, and which of them a request concerns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apimachinery import errors, selectors
from apimachinery.selectors import LabelSelector
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.admission.policies import conditions
from apiserver.admission.policies.evaluation import Decisions, Evaluation, Seen
from apiserver.admission.versions import in_version
from apiserver.registry.conversion import running
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup
from apiserver.validation import expressions
from apiserver.validation.expressions import Expression, Scope

log = logging.getLogger(__name__)

GROUP = "admissionregistration.k8s.io"
# What configures admission is exempt from it, or a broken webhook could never be removed.
EXEMPT = frozenset(
    (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)


@dataclass(frozen=True, slots=True)
class Rule:
    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]  # (plural or "*", subresource or "*" or "")
    scope: str

    def matches(self, a: Attributes, group: str, version: str, plural: str) -> bool:
        return (
            _has(self.operations, a.operation)
            and _has(self.groups, group)
            and _has(self.versions, version)
            and any(r in ("*", plural) and s in ("*", a.subresource) for r, s in self.resources)
            and self._in_scope(a, group, plural)
        )

    def _in_scope(self, a: Attributes, group: str, plural: str) -> bool:
        if self.scope == "*":
            return True
        namespaced = bool(a.namespace) and (group, plural) != ("", "namespaces")
        return namespaced is (self.scope == "Namespaced")


def _has(names: frozenset[str], name: str) -> bool:
    return name in names or "*" in names


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration. raw: as stored. uid: its name within all configurations."""

    uid: str
    configuration: str
    name: str
    rules: tuple[Rule, ...]
    namespace_selector: LabelSelector
    object_selector: LabelSelector
    conditions: tuple[Expression, ...]
    raw: Obj

    @property
    def ignores_failures(self) -> bool:
        return self.raw.get("failurePolicy") == "Ignore"

    @property
    def timeout(self) -> int:
        """Seconds."""
        return int(self.raw.get("timeoutSeconds") or 10)


def parse(configurations: Sequence[Obj]) -> list[Hook]:
    """All webhooks, by name of their configuration and then as they stand in it."""
    hooks = []
    for configuration in sorted(configurations, key=lambda c: str(c["metadata"]["name"])):
        owner = configuration["metadata"]["name"]
        seen: dict[str, int] = {}
        for raw in configuration.get("webhooks") or ():
            name = raw.get("name") or ""
            number = seen[name] = seen.get(name, -1) + 1
            try:
                hooks.append(_hook(f"{owner}/{name}/{number}", owner, name, raw))
            except selectors.SelectorError:
                log.exception("webhook %s of %s has an unreadable selector and is not called", name, owner)
    return hooks


def _hook(uid: str, owner: str, name: str, raw: Obj) -> Hook:
    scope = Scope()
    return Hook(
        uid,
        owner,
        name,
        tuple(_rule(rule) for rule in raw.get("rules") or ()),
        selectors.from_object(raw.get("namespaceSelector") or {}),
        selectors.from_object(raw.get("objectSelector") or {}),
        tuple(scope.compile(c["expression"], expressions.BOOL) for c in raw.get("matchConditions") or ()),
        raw,
    )


def _rule(raw: Obj) -> Rule:
    resources = []
    for text in raw.get("resources") or ():
        plural, _, subresource = text.partition("/")
        resources.append((plural, subresource))
    return Rule(
        frozenset(raw.get("operations") or ()),
        frozenset(raw.get("apiGroups") or ()),
        frozenset(raw.get("apiVersions") or ()),
        tuple(resources),
        raw.get("scope") or "*",
    )


@dataclass(frozen=True, slots=True)
class Invocation:
    """A webhook to call, and as what it sees the request: the version is the request's or an equivalent one."""

    hook: Hook
    group: str
    version: str
    plural: str


@dataclass(slots=True)
class Hooks:
    """The webhooks of one kind of configuration. plural: of the configurations."""

    env: Env
    plural: str
    _configurations: Lookup = field(init=False)
    _namespaces: Lookup = field(init=False)
    _source: list[Obj] | None = None
    _parsed: list[Hook] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._configurations = Lookup(self.env.reader, GROUP, self.plural)
        self._namespaces = Lookup(self.env.reader, "", "namespaces")

    @staticmethod
    def handles(operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return not (group == GROUP and plural in EXEMPT)

    async def current(self) -> list[Hook]:
        source = await self._configurations.list()
        if source is not self._source:
            self._parsed, self._source = parse(source), source
        return self._parsed

    async def invocation(self, hook: Hook, a: Attributes) -> Invocation | None:
        """How to call the hook for the request; None when it does not concern it. ApiError when that cannot be told."""
        found = _matching_rule(hook, a)
        if found is None or not self._selects_object(hook, a):
            return None
        if not await self._selects_namespace(hook, a):
            return None
        if hook.conditions and not await self._meets_conditions(found, a):
            return None
        return found

    async def _meets_conditions(self, invocation: Invocation, a: Attributes) -> bool:
        hook, version = invocation.hook, invocation.version

        async def convert() -> Seen:
            obj, old = (in_version(a, obj, invocation.group, version) for obj in (a.obj, a.old))
            return Seen(invocation.group, version, invocation.plural, obj, old)

        seen = await running(a.kind, convert)
        try:
            return await conditions.hold(
                hook.conditions,
                Evaluation(a, seen, Decisions(self.env.authorizer, a.user)),
                ignore_failures=hook.ignores_failures,
            )
        except conditions.ConditionsFailed as error:
            log.warning("failed evaluating match conditions, failing closed %s: %s", hook.name, error)
            raise errors.forbidden(a.group, a.plural, a.name, str(error)) from None

    @staticmethod
    def _selects_object(hook: Hook, a: Attributes) -> bool:
        if hook.object_selector.empty:
            return True
        found = (obj.get("metadata") for obj in (a.obj, a.old) if obj is not None)
        return any(isinstance(meta, dict) and hook.object_selector.matches(meta.get("labels")) for meta in found)

    async def _selects_namespace(self, hook: Hook, a: Attributes) -> bool:
        if hook.namespace_selector.empty:
            return True
        is_namespace = not a.group and a.plural == "namespaces"
        if not a.namespace and not is_namespace:
            return True
        if is_namespace and a.operation in ("CREATE", "UPDATE") and a.obj is not None:
            labels: Mapping[str, str] | None = (a.obj.get("metadata") or {}).get("labels")
        else:
            name = a.namespace or a.name
            namespace = await self._namespaces.get(None, name)
            if namespace is None:
                raise errors.not_found("", "namespaces", name)
            labels = namespace["metadata"].get("labels")
        return hook.namespace_selector.matches(labels)


def _matching_rule(hook: Hook, a: Attributes) -> Invocation | None:
    for rule in hook.rules:
        if rule.matches(a, a.group, a.version, a.plural):
            return Invocation(hook, a.group, a.version, a.plural)
    if hook.raw.get("matchPolicy", "Equivalent") == "Equivalent" and a.kind is not None:
        # A kind's other versions are the same objects, so a rule for any of them concerns the request.
        for rule in hook.rules:
            for version in a.kind.versions:
                if version != a.version and rule.matches(a, a.group, version, a.plural):
                    return Invocation(hook, a.group, version, a.plural)
    return None
