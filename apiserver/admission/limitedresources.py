"""ResourceQuota's configuration: resources that nobody may use in a namespace without a quota that covers them.

limits = load(raw)                                ConfigError
limits.uncovered(a, usage, restricted, quotas)    what a request lacks a quota for, as the text that refuses it
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import field, quota
from apiserver.admission.base import Attributes, forbidden
from apiserver.configscheme import ConfigError, Entry, Scheme, Types, aggregate
from apiserver.registry.kind import Obj
from apiserver.registry.metadata import plain_failure

_STRINGS = [["l", "s", "atomic"], "[]string"]
_TYPES: Types = {
    "Configuration": {"limitedResources": [["l", "#LimitedResource", "atomic"], "[]LimitedResource"]},
    "LimitedResource": {
        "apiGroup": ["s", "string"],
        "resource": ["s", "string"],
        "matchContains": _STRINGS,
        "matchScopes": [["l", "#Requirement", "atomic"], "[]v1.ScopedResourceSelectorRequirement"],
    },
    "Requirement": {
        "scopeName": ["s", "v1.ResourceQuotaScope"],
        "operator": ["s", "v1.ScopeSelectorOperator"],
        "values": _STRINGS,
    },
}
_ENTRY = Entry("Configuration", "")
_SCHEME = Scheme(
    "k8s.io/apiserver/pkg/admission/plugin/resourcequota/config.go:31",
    _TYPES,
    {
        ("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"): _ENTRY,
        ("resourcequota.admission.k8s.io/v1beta1", "Configuration"): _ENTRY,
        ("resourcequota.admission.k8s.io/v1alpha1", "Configuration"): _ENTRY,
    },
)


@dataclass(frozen=True, slots=True)
class Limits:
    """stated: the limited resources as configured."""

    stated: Sequence[Mapping[str, Any]] = ()

    def check(self, a: Attributes, usage: Collection[str], restricted: Collection[str], quotas: Iterable[Obj]) -> None:
        """ApiError when quotas do not cover the request. usage: names of all that it uses; restricted: those that quotas which
        concern it restrict."""
        names = {
            name
            for name in usage
            for limited in self.stated
            if (limited.get("apiGroup") or "", limited["resource"]) == (a.group, a.plural)
            and any(part in name for part in limited.get("matchContains") or ())
        }
        if missing := sorted(names - set(restricted)):
            raise forbidden(a, f"insufficient quota to consume: {','.join(missing)}")
        if (a.group, a.plural) == ("", "pods"):
            self._check_scopes(a, quotas)

    def _check_scopes(self, a: Attributes, quotas: Iterable[Obj]) -> None:
        obj = a.obj or {}
        wanted = [
            scope
            for limited in self.stated
            for scope in limited.get("matchScopes") or ()
            if quota.in_scope(scope, a.group, a.plural, obj)
        ]
        covered = {
            scope.get("scopeName")
            for resource_quota in quotas
            for scope in quota.scope_selectors(resource_quota)
            if quota.in_scope(scope, a.group, a.plural, obj)
        }
        missing = [scope for scope in wanted if scope.get("scopeName") not in covered]
        if missing:
            shown = " ".join(_drawn(scope) for scope in missing)
            raise plain_failure(f"insufficient quota to match these scopes: [{shown}]")


def _drawn(scope: Mapping[str, Any]) -> str:
    values = " ".join(scope.get("values") or ())
    return f"{{{scope.get('scopeName') or ''} {scope.get('operator') or ''} [{values}]}}"


def load(raw: bytes | None) -> Limits:
    if raw is None:
        return Limits()
    stated = _SCHEME.read(raw).obj.get("limitedResources") or []
    problems = [
        field.required(f"limitedResources[{at}].resource")
        for at, limited in enumerate(stated)
        if not limited.get("resource")
    ]
    if problems:
        raise ConfigError(aggregate(problems))
    return Limits(stated)
