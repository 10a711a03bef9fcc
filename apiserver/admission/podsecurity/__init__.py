"""PodSecurity: namespaces choose a Pod Security Standard by labels; pods that break it are refused, warned of or audited.

Refused are pods only; workloads with a pod template are warned of, so that their authors learn it before the pods fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apimachinery import errors
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.podsecurity import checks, policy, settings
from apiserver.admission.podsecurity.policy import LEVELS, Policy, Standard
from apiserver.authz.policy import aggregate
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

_TEMPLATES = {
    ("", "replicationcontrollers"): ("spec", "template"),
    ("", "podtemplates"): ("template",),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
_IGNORED = frozenset(("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"))
_MAX_PODS = 3000  # existing pods looked at when a namespace's level is raised
_PREFIX = policy.PREFIX


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")
        self._reader = env.reader
        self._settings = settings.load(env.configuration)

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE"):
            return False
        if not group and plural == "pods":
            return subresource not in _IGNORED
        return not subresource and ((group, plural) == ("", "namespaces") or (group, plural) in _TEMPLATES)

    async def validate(self, a: Attributes) -> None:
        if a.obj is None:
            return
        if a.plural == "namespaces":
            await self._namespace(a)
            return
        for kind, exempt in (
            ("namespace", a.namespace in self._settings.namespaces),
            ("user", a.user.name in self._settings.usernames),
        ):
            if exempt:
                a.annotations[_PREFIX + "exempt"] = kind
                return
        namespace = await self._namespaces.get(None, a.namespace or "")
        if namespace is None:
            raise errors.internal_error(f"failed to lookup namespace {go_quote(a.namespace or '')}")
        wanted, problems = policy.of_labels(namespace["metadata"].get("labels") or {}, self._settings.defaults)
        standards = (wanted.enforce, wanted.audit, wanted.warn) if a.plural == "pods" else (wanted.audit, wanted.warn)
        if not problems and all(standard.level == "privileged" for standard in standards):
            if a.plural == "pods":
                a.annotations[_PREFIX + "enforce-policy"] = str(Standard())
            return
        if a.plural == "pods":
            if a.operation == "UPDATE" and not _matters(a.obj, a.old or {}):
                return
            target = a.obj
        else:
            target = a.obj
            for key in _TEMPLATES[a.group, a.plural]:
                target = target.get(key) or {}
            if not target:
                return
        if self._settings.exempts_class(target.get("spec") or {}):
            a.annotations[_PREFIX + "exempt"] = "runtimeClass"
            return
        if problems:
            a.annotations[_PREFIX + "error"] = f"Failed to parse policy: {aggregate(list(map(str, problems)))}"
        self._judge(a, wanted, target.get("metadata") or {}, target.get("spec") or {}, enforce=a.plural == "pods")

    def _judge(self, a: Attributes, wanted: Policy, meta: Obj, spec: Obj, *, enforce: bool) -> None:
        known: dict[Standard, list[tuple[str, str]]] = {}

        def findings(standard: Standard) -> list[tuple[str, str]]:
            if standard not in known:
                known[standard] = checks.evaluate(standard, meta, spec)
            return known[standard]

        if enforce:
            a.annotations[_PREFIX + "enforce-policy"] = str(wanted.enforce)
        if findings(wanted.audit):
            text = f"would violate PodSecurity {go_quote(str(wanted.audit))}: {checks.describe(findings(wanted.audit))}"
            a.annotations[_PREFIX + "audit-violations"] = text
        if enforce and findings(wanted.enforce):
            detail = checks.describe(findings(wanted.enforce))
            raise forbidden(a, f"violates PodSecurity {go_quote(str(wanted.enforce))}: {detail}")
        if findings(wanted.warn):
            detail = checks.describe(findings(wanted.warn))
            a.warnings.append(f"would violate PodSecurity {go_quote(str(wanted.warn))}: {detail}")

    async def _namespace(self, a: Attributes) -> None:
        assert a.obj is not None
        name = a.obj["metadata"].get("name") or ""
        labels, defaults = a.obj["metadata"].get("labels") or {}, self._settings.defaults
        new, problems = policy.of_labels(labels, defaults)
        exempt = name in self._settings.namespaces
        if a.operation == "CREATE":
            if problems:
                raise errors.invalid("", "Namespace", name, problems)
            if exempt:
                a.warnings.extend(self._ignored(name, new, labels))
            return
        old, old_problems = policy.of_labels((a.old or {}).get("metadata", {}).get("labels") or {}, defaults)
        if problems and problems != old_problems:
            raise errors.invalid("", "Namespace", name, problems)
        enforce, before = new.enforce, old.enforce
        relaxed = enforce.minor == before.minor and LEVELS.index(enforce.level) <= LEVELS.index(before.level)
        if enforce != before and enforce.level != "privileged" and not relaxed:
            a.warnings.extend(self._ignored(name, new, labels) if exempt else await self._existing(name, enforce))

    def _ignored(self, namespace: str, wanted: Policy, labels: Mapping[str, str]) -> list[str]:
        """What is said of the labels of an exempt namespace."""
        standards = {"enforce": wanted.enforce, "audit": wanted.audit, "warn": wanted.warn}
        if wanted == self._settings.defaults or all(s.level == "privileged" for s in standards.values()):
            return []
        said = [
            f"{mode}={standard}"
            for mode, standard in standards.items()
            if standard.level != "privileged" and (_PREFIX + mode in labels or f"{_PREFIX}{mode}-version" in labels)
        ]
        text = f"is exempt from Pod Security, and the policy ({', '.join(said)}) will be ignored"
        return [f"namespace {go_quote(namespace)} {text}"]

    async def _existing(self, namespace: str, enforce: Standard) -> list[str]:
        """Warnings of the pods that run already and would not be let in any more."""
        pods = [
            pod
            for pod in await self._reader.list("", "pods", namespace)
            if not self._settings.exempts_class(pod.get("spec") or {})
        ]
        violations: dict[str, list[str]] = {}
        for pod in pods[:_MAX_PODS]:
            found = checks.evaluate(enforce, pod["metadata"], pod.get("spec") or {})
            if found:
                violations.setdefault(checks.reasons(found), []).append(pod["metadata"]["name"])
        warnings = []
        if len(pods) > _MAX_PODS:
            warnings.append(
                f"new PodSecurity enforce level only checked against the first {_MAX_PODS} of {len(pods)} existing pods"
            )
        if violations:
            warnings.append(
                f"existing pods in namespace {go_quote(namespace)} violate the new PodSecurity enforce level "
                f"{go_quote(str(enforce))}"
            )
        return warnings + sorted(_count(reason, names) for reason, names in violations.items())


def _count(reason: str, names: Iterable[str]) -> str:
    first, *others = sorted(names)
    if not others:
        return f"{first}: {reason}"
    return f"{first} (and {len(others)} other pod{'s' if len(others) > 1 else ''}): {reason}"


def _matters(new: Obj, old: Obj) -> bool:
    """Whether an update of a pod changes anything that the standards look at: images, or a container that is added."""

    def images(pod: Obj) -> list[object]:
        spec = pod.get("spec") or {}
        return [[c.get("image") for c in spec.get(kind) or ()] for kind in ("initContainers", "containers")]

    def ephemeral(pod: Obj) -> set[tuple[object, object]]:
        return {(c.get("name"), c.get("image")) for c in (pod.get("spec") or {}).get("ephemeralContainers") or ()}

    return images(new) != images(old) or not ephemeral(new) <= ephemeral(old)
