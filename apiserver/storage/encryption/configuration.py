"""EncryptionConfiguration, the file of --encryption-provider-config: read and checked in the original's words.

    load(raw, reload)       a Rule for each entry, in order; ConfigError with all that is wrong

Secrets in the file appear in no error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from apimachinery import field
from apimachinery.field import FieldError, go_quote
from apiserver.configscheme import ConfigError, Entry, Scheme, Types, Unregistered, aggregate
from apiserver.storage.encryption.ciphers import AesCbc, AesGcm, SecretBox

_SECOND = 10**9
_TYPES: Types = {
    "EncryptionConfiguration": {"resources": [["l", "#ResourceConfiguration", "atomic"], "[]ResourceConfiguration"]},
    "ResourceConfiguration": {
        "resources": [["l", "s", "atomic"], "[]string"],
        "providers": [["l", "#ProviderConfiguration", "atomic"], "[]ProviderConfiguration"],
    },
    "ProviderConfiguration": {
        "aesgcm": ["#AESConfiguration", "*AESConfiguration"],
        "aescbc": ["#AESConfiguration", "*AESConfiguration"],
        "secretbox": ["#AESConfiguration", "*SecretboxConfiguration"],
        "identity": ["#IdentityConfiguration", "*IdentityConfiguration"],
        "kms": ["#KMSConfiguration", "*KMSConfiguration"],
    },
    "AESConfiguration": {"keys": [["l", "#Key", "atomic"], "[]Key"]},
    "Key": {"name": ["s", "string"], "secret": ["s", "string"]},
    "IdentityConfiguration": {},
    "KMSConfiguration": {
        "apiVersion": ["s", "string"],
        "name": ["s", "string"],
        "cachesize": ["i32", "*int32"],
        "endpoint": ["s", "string"],
        "timeout": ["D", "*v1.Duration"],
    },
}
_SCHEME = Scheme(
    "k8s.io/apiserver/pkg/server/options/encryptionconfig/config.go:154",
    _TYPES,
    {
        ("apiserver.config.k8s.io/v1", "EncryptionConfiguration"): Entry("EncryptionConfiguration", ""),
        ("v1", "EncryptionConfig"): Entry("EncryptionConfiguration", ""),
    },
)
_SIZES: Mapping[str, Sequence[int]] = {"aesgcm": AesGcm.sizes, "aescbc": AesCbc.sizes, "secretbox": SecretBox.sizes}
_WITHOUT_API = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_NONE = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
_SEVERAL = "more than one provider specified in a single element, should split into different list elements"
_OVERLAP = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked"
_KMS_V1 = (
    "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  "
    "Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
)


@dataclass(frozen=True, slots=True)
class Provider:
    """One way of storing values. kind: aescbc, aesgcm, secretbox, identity or kms. keys: (name, bytes) of the first three.
    name, endpoint (unix:///…) and timeout (seconds): of a KMS."""

    kind: str
    keys: tuple[tuple[str, bytes], ...] = ()
    name: str = ""
    endpoint: str = ""
    timeout: float = 3.0


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to be stored how. resources: (group, plural), either of them "*"; group "" is core. The first provider writes."""

    resources: tuple[tuple[str, str], ...]
    providers: tuple[Provider, ...]

    def covers(self, group: str, plural: str) -> bool:
        return any(resource in ((group, plural), (group, "*"), ("*", "*")) for resource in self.resources)


def load(raw: bytes, *, reload: bool = False) -> list[Rule]:
    """The rules of a file. reload: whether it is to be followed as it changes."""
    if not raw.strip():
        raise ConfigError("encryption provider configuration file is empty")
    try:
        obj = _SCHEME.read(raw).obj
    except ConfigError as error:
        text = str(error)
        if isinstance(error, Unregistered) and not (error.version and error.kind):
            # The original shows the whole file here, with its keys.
            text = f"Object '{'apiVersion' if error.kind else 'Kind'}' is missing"
        raise ConfigError(f"error decoding encryption provider configuration file: {text}") from None
    _set_defaults(obj)
    problems = _check(obj, reload)
    if problems:
        raise ConfigError(aggregate(problems))
    rules = [_rule(stated) for stated in obj["resources"]]
    _check_masks(rules)
    return rules


def _set_defaults(obj: dict[str, Any]) -> None:
    for stated in obj.get("resources") or ():
        for provider in stated.get("providers") or ():
            kms = provider.get("kms")
            if kms is not None:
                kms["apiVersion"] = kms.get("apiVersion") or "v1"
                kms.setdefault("timeout", "3s")
                if kms["apiVersion"] == "v1":
                    kms.setdefault("cachesize", 1000)


# -- checking


def _check(obj: dict[str, Any], reload: bool) -> list[FieldError]:
    stated = obj.get("resources") or []
    if not stated:
        return [field.required("resources", "at least one resources is required")]
    problems: list[FieldError] = []
    names: set[str] = set()
    for i, entry in enumerate(stated):
        at = field.index("resources", i)
        resources, providers = entry.get("resources") or [], entry.get("providers") or []
        if not resources:
            problems.append(field.required(f"{at}.resources", f"at least one {at}.resources is required"))
        problems += _check_overlap(resources, f"{at}.resources")
        problems += [problem for j, text in enumerate(resources) if (problem := _resource(text, at, j))]
        if not providers:
            problems.append(field.required(f"{at}.providers", f"at least one {at}.providers is required"))
        for j, provider in enumerate(providers):
            problems += _check_provider(provider, field.index(f"{at}.providers", j), names, reload)
    return problems


def parse_resource(text: str) -> tuple[str, str]:
    """(group, plural) of `plural.group`."""
    plural, _, group = text.partition(".")
    return group, plural


def _check_overlap(resources: Sequence[str], path: str) -> list[FieldError]:
    problems = []
    parsed = [parse_resource(text) for text in resources]
    if len(set(parsed)) < len(parsed):
        problems.append(field.invalid(path, list(resources), "the same resource cannot be specified multiple times"))
    several = list(dict.fromkeys(parsed))
    overlap = len(several) > 1 and (
        ("*", "*") in several or any(a != b and a[0] == b[0] and "*" in (a[1], b[1]) for a in several for b in several)
    )
    if overlap:
        problems.append(field.invalid(path, list(resources), _OVERLAP))
    return problems


def _resource(text: str, at: str, position: int) -> FieldError | None:
    group, plural = parse_resource(text)
    if text != text.lower():
        problem = "resource name should not contain capital letters"
    elif text == "*":
        problem = "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    elif text in _WITHOUT_API:
        problem = "resources which do not have REST API/s cannot be encrypted"
    elif group == "events.k8s.io":
        stored = "'*.events.k8s.io' objects are stored using the 'events' API group in etcd."
        problem = f"{stored} Use 'events' instead in the config file"
    elif group == "extensions":
        problem = "'extensions' group has been removed and cannot be used for encryption"
    elif group == "*" and plural != "*":
        problem = "encrypting the same resource across groups is not supported"
    else:
        return None
    return field.invalid(field.index(f"{at}.resources", position), text, problem)


def _check_provider(provider: dict[str, Any], path: str, names: set[str], reload: bool) -> list[FieldError]:
    found = [kind for kind in ("kms", "aesgcm", "aescbc", "secretbox", "identity") if provider.get(kind) is not None]
    problems = []
    if not found:
        return [field.invalid(path, {}, _NONE)]
    if len(found) > 1:
        problems.append(field.invalid(path, "REDACTED", _SEVERAL))  # the original prints the keys
    kind = found[0]
    if kind == "kms":
        problems += _check_kms(provider["kms"], f"{path}.kms", names, reload)
        names.add(provider["kms"].get("name") or "")
    elif kind != "identity":
        problems += _check_keys(provider[kind].get("keys") or [], f"{path}.{kind}.keys", _SIZES[kind])
    return problems


def _check_keys(keys: Sequence[dict[str, Any]], path: str, sizes: Sequence[int]) -> list[FieldError]:
    if not keys:
        return [field.required(path, "at least one keys is required")]
    problems = []
    for i, key in enumerate(keys):
        at = field.index(path, i)
        if not key.get("name"):
            problems.append(field.required(f"{at}.name", "name is a mandatory field for a key"))
        if not key.get("secret"):
            problems.append(field.required(f"{at}.secret", "secret is a mandatory field for a key"))
            continue
        secret = _decoded(key["secret"])
        if secret is None:
            problems.append(field.invalid(f"{at}.secret", "REDACTED", "secrets must be base64 encoded"))
        elif len(secret) not in sizes:
            wanted = f"[{' '.join(map(str, sizes))}]"
            text = f"secret is not of the expected length, got {len(secret)}, expected one of {wanted}"
            problems.append(field.invalid(f"{at}.secret", "REDACTED", text))
    return problems


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return None


def _check_kms(kms: dict[str, Any], path: str, names: set[str], reload: bool) -> list[FieldError]:
    problems = []
    name, version, endpoint = kms.get("name") or "", kms["apiVersion"], kms.get("endpoint") or ""
    if not name:
        problems.append(field.required(f"{path}.name", "name is a mandatory field for a provider"))
    # A reload swaps providers by name, which version 2 does for every provider.
    if version != "v1" or reload:
        if name in names:
            text = f"duplicate KMS provider name {name}, names must be unique"
            problems.append(field.invalid(f"{path}.name", name, text))
        elif ":" in name:
            problems.append(
                field.invalid(f"{path}.name", name, f"invalid KMS provider name {name}, must not contain ':'")
            )
    if _seconds(kms["timeout"]) <= 0:
        problems.append(field.invalid(f"{path}.timeout", kms["timeout"], "timeout should be a positive value"))
    if not endpoint:
        problems.append(field.invalid(f"{path}.endpoint", "", "endpoint is a mandatory field for a kms"))
    elif urlsplit(endpoint).scheme != "unix":
        scheme = go_quote(urlsplit(endpoint).scheme)
        text = f"unsupported scheme {scheme} for KMS provider, only unix is supported"
        problems.append(field.invalid(f"{path}.endpoint", endpoint, text))
    if version != "v1" and kms.get("cachesize") is not None:
        problems.append(field.invalid(f"{path}.cachesize", kms["cachesize"], "cachesize is not supported in v2"))
    if version == "v1" and kms.get("cachesize") == 0:
        text = "cachesize should be a positive value, or negative to disable"
        problems.append(field.invalid(f"{path}.cachesize", 0, text))
    if version not in ("v1", "v2"):
        text = f"unsupported apiVersion {version} for KMS provider, only v1 and v2 are supported"
        problems.append(field.invalid(f"{path}.apiVersion", version, text))
    return problems


def _check_masks(rules: Sequence[Rule]) -> None:
    """A rule that an earlier one hides is an error."""
    seen: list[tuple[str, str]] = []
    for rule in rules:
        for group, plural in rule.resources:
            for mask in ((group, "*"), ("*", "*")):
                if mask in seen and (group, plural) != mask:
                    raise ConfigError(f"resource {_shown(group, plural)} is masked by earlier rule {_shown(*mask)}")
        seen += rule.resources


def _shown(group: str, plural: str) -> str:
    return go_quote(f"{plural}.{group}" if group or plural == "*" else plural)


# -- building


def _rule(stated: dict[str, Any]) -> Rule:
    providers = tuple(_provider(provider) for provider in stated["providers"])
    return Rule(tuple(parse_resource(text) for text in stated["resources"]), providers)


def _provider(stated: dict[str, Any]) -> Provider:
    kind = next(kind for kind in ("kms", "aesgcm", "aescbc", "secretbox", "identity") if stated.get(kind) is not None)
    if kind == "identity":
        return Provider(kind)
    if kind == "kms":
        kms = stated["kms"]
        if kms["apiVersion"] == "v1":
            raise ConfigError(_KMS_V1)
        return Provider(kind, name=kms["name"], endpoint=kms["endpoint"], timeout=_seconds(kms["timeout"]))
    return Provider(kind, tuple((key["name"], _decoded(key["secret"]) or b"") for key in stated[kind]["keys"]))


def _seconds(duration: str) -> float:
    from openapi.scalars import parse_duration

    return parse_duration(duration) / _SECOND
