"""Configuration of the policy plugins: there is nothing to configure but manifests on disk, which need a feature that is off."""

from __future__ import annotations

from apimachinery import field
from apiserver.configscheme import ConfigError, Entry, Scheme, Types

VALIDATING, MUTATING = "ValidatingAdmissionPolicyConfiguration", "MutatingAdmissionPolicyConfiguration"
_TYPES: Types = {name: {"staticManifestsDir": ["s", "string"]} for name in (VALIDATING, MUTATING)}
_SCHEME = Scheme(
    "k8s.io/apiserver/pkg/admission/plugin/policy/config/config.go:32",
    _TYPES,
    {("apiserver.config.k8s.io/v1", name): Entry(name, f"*policyconfig.{name}") for name in (VALIDATING, MUTATING)},
)


def check(raw: bytes | None, kind: str) -> None:
    """ConfigError for a configuration that is of another kind, or asks for manifests."""
    if raw is None:
        return
    found = _SCHEME.read(raw)
    if found.entry.type != kind:
        raise ConfigError(f"unexpected type: {found.entry.go}")
    if found.obj.get("staticManifestsDir"):
        text = "staticManifestsDir requires the ManifestBasedAdmissionControlConfig feature gate to be enabled"
        raise ConfigError(str(field.forbidden("staticManifestsDir", text)))
