"""PodSecurityConfiguration: what namespaces without labels ask for, and who and what is exempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.admission.base import NotInitialized
from apiserver.admission.podsecurity import policy
from apiserver.admission.podsecurity.policy import Policy, Standard
from apiserver.configscheme import Entry, Scheme, Types, aggregate
from apiserver.validation import names

_STRINGS = [["l", "s", "atomic"], "[]string"]
_MODES = ("enforce", "audit", "warn")
_TYPES: Types = {
    "PodSecurityConfiguration": {
        "defaults": ["#PodSecurityDefaults", "PodSecurityDefaults"],
        "exemptions": ["#PodSecurityExemptions", "PodSecurityExemptions"],
    },
    "PodSecurityDefaults": {name: ["s", "string"] for mode in _MODES for name in (mode, f"{mode}-version")},
    "PodSecurityExemptions": dict.fromkeys(("usernames", "namespaces", "runtimeClasses"), _STRINGS),
}
_SCHEME = Scheme(
    "k8s.io/pod-security-admission/admission/api/scheme/scheme.go:31",
    _TYPES,
    {
        (f"pod-security.admission.config.k8s.io/{version}", "PodSecurityConfiguration"): Entry(
            "PodSecurityConfiguration", ""
        )
        for version in ("v1", "v1beta1", "v1alpha1")
    },
)


@dataclass(frozen=True, slots=True)
class Settings:
    defaults: Policy = policy.PRIVILEGED
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()

    def exempts_class(self, spec: Mapping[str, Any]) -> bool:
        """Whether pods with that spec are exempt for their runtime class."""
        return bool(self.runtime_classes) and (spec.get("runtimeClassName") or "") in self.runtime_classes


def load(raw: bytes | None) -> Settings:
    """ConfigError."""
    if not raw:
        return Settings()
    stated = _SCHEME.read(raw).obj
    defaults, exempt = stated.get("defaults") or {}, stated.get("exemptions") or {}
    problems: list[FieldError] = []
    standards = {}
    for mode in _MODES:
        level = policy.level(defaults.get(mode) or "privileged", mode, problems)
        version = f"{mode}-version"
        minor = policy.minor(defaults.get(version) or "latest", version, problems)
        standards[mode] = Standard(level, minor)
    if problems:
        texts = [f"{problem.field}: {problem.detail}" for problem in problems]
        raise NotInitialized(f"PodSecurity configuration error: {aggregate(texts)}")
    problems += _check("namespaces", exempt.get("namespaces") or (), names.dns_label)
    problems += _check("runtimeClasses", exempt.get("runtimeClasses") or (), names.dns_subdomain)
    problems += _check("usernames", exempt.get("usernames") or (), _user)
    if problems:
        raise NotInitialized(f"PodSecurity invalid: {aggregate(problems)}")
    return Settings(
        Policy(**standards),
        frozenset(exempt.get("usernames") or ()),
        frozenset(exempt.get("namespaces") or ()),
        frozenset(exempt.get("runtimeClasses") or ()),
    )


def _user(name: str) -> list[str]:
    return [] if name else ["username must not be empty"]


def _check(kind: str, stated: Sequence[str], wrong: Callable[[str], list[str]]) -> list[FieldError]:
    problems = []
    seen = set()
    for at, name in enumerate(stated):
        path = f"exemptions.{kind}[{at}]"
        if texts := wrong(name):
            problems.append(field.invalid(path, name, ", ".join(texts)))
        elif name in seen:
            problems.append(field.duplicate(path, name))
        seen.add(name)
    return problems
