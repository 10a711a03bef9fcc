"""The AuthenticationConfiguration: from its file, or from the --oidc-* flags. Reading only; validation has the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apiserver.authn.config import Config
from apiserver.configscheme import ConfigError, Entry, Scheme, Unregistered, file_error
from apiserver.configscheme import parse as parse_document

KIND = "AuthenticationConfiguration"
_SCHEME = "pkg/kubeapiserver/options/authentication.go:879"
_GROUP = "apiserver.config.k8s.io"
_VERSIONS = ("v1", "v1beta1", "v1alpha1")
_OTHERS = ("AdmissionConfiguration", "AuthorizationConfiguration", "EncryptionConfiguration", "TracingConfiguration")
_S: list[Any] = ["s", "string", 1]
_STRINGS: list[Any] = [["l", "s", "atomic"], "[]string", 1]


def _types(version: str) -> dict[str, dict[str, list[Any]]]:
    """The file's types in one version, in the form of openapi/schemas.py."""

    def struct(name: str, pointer: str = "") -> list[Any]:
        return [f"#{version}.{name}", f"{pointer}{version}.{name}", 1]

    def several(name: str) -> list[Any]:
        return [["l", f"#{version}.{name}", "atomic"], f"[]{version}.{name}", 1]

    prefixed = {"claim": _S, "prefix": ["s", "*string", 1], "expression": _S}
    types = {
        KIND: {"jwt": several("JWTAuthenticator"), "anonymous": struct("AnonymousAuthConfig", "*")},
        "AnonymousAuthConfig": {"enabled": ["b", "bool", 1], "conditions": several("AnonymousAuthCondition")},
        "AnonymousAuthCondition": {"path": _S},
        "JWTAuthenticator": {
            "issuer": struct("Issuer"),
            "claimValidationRules": several("ClaimValidationRule"),
            "claimMappings": struct("ClaimMappings"),
            "userValidationRules": several("UserValidationRule"),
        },
        "Issuer": {
            "url": _S,
            "discoveryURL": _S,
            "certificateAuthority": _S,
            "audiences": _STRINGS,
            "audienceMatchPolicy": _S,
            "egressSelectorType": _S,
        },
        "ClaimValidationRule": {"claim": _S, "requiredValue": _S, "expression": _S, "message": _S},
        "ClaimMappings": {
            "username": struct("PrefixedClaimOrExpression"),
            "groups": struct("PrefixedClaimOrExpression"),
            "uid": struct("ClaimOrExpression"),
            "extra": several("ExtraMapping"),
        },
        "PrefixedClaimOrExpression": prefixed,
        "ClaimOrExpression": {"claim": _S, "expression": _S},
        "ExtraMapping": {"key": _S, "valueExpression": _S},
        "UserValidationRule": {"expression": _S, "message": _S},
    }
    return {f"{version}.{name}": fields for name, fields in types.items()}


def _scheme() -> Scheme:
    types: dict[str, dict[str, list[Any]]] = {}
    kinds = {}
    for version in _VERSIONS:
        types |= _types(version)
        kinds[f"{_GROUP}/{version}", KIND] = Entry(f"{version}.{KIND}", f"*apiserver.{KIND}")
    return Scheme(_SCHEME, types, kinds)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an attribute of the user comes from: a claim with a prefix, or an expression. prefix: None when not given."""

    claim: str = ""
    prefix: str | None = None
    expression: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over claims (claim and value, or expression) or over the user (expression)."""

    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    url: str = ""
    discovery_url: str = ""
    certificate_authority: str = ""
    audiences: tuple[str, ...] = ()
    audience_match_policy: str = ""
    egress_selector_type: str = ""


@dataclass(frozen=True, slots=True)
class Jwt:
    """One issuer, and what its tokens mean. extra: (key, expression)."""

    issuer: Issuer = Issuer()
    claim_rules: tuple[Rule, ...] = ()
    username: Source = Source()
    groups: Source = Source()
    uid: Source = Source()
    extra: tuple[tuple[str, str], ...] = ()
    user_rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Anonymous:
    """paths: those that need no credentials; empty for all."""

    enabled: bool = False
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    jwt: tuple[Jwt, ...] = ()
    anonymous: Anonymous | None = None
    algorithms: tuple[str, ...] = field(default=())


ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")


def parse(raw: bytes) -> Configuration:
    """The configuration in a file's bytes. ConfigError."""
    if not raw:
        raise ConfigError("empty config data")
    try:
        document = _scheme().read(raw).obj
    except Unregistered:
        if (other := _other(raw)) is not None:
            raise ConfigError(f"expected {KIND}, got *apiserver.{other}") from None
        raise
    anonymous = None
    if "anonymous" in document:
        told = document["anonymous"]
        paths = tuple(condition.get("path", "") for condition in told.get("conditions", ()))
        anonymous = Anonymous(told.get("enabled", False), paths)
    return Configuration(tuple(map(_jwt, document.get("jwt", ()))), anonymous, ALGORITHMS)


def _other(raw: bytes) -> str | None:
    """The kind of a file that is meant for another flag."""
    document = parse_document(raw).obj
    group, _, version = str(document.get("apiVersion")).rpartition("/")
    kind = str(document.get("kind"))
    return kind if group == _GROUP and version in _VERSIONS and kind in _OTHERS else None


def _jwt(told: Mapping[str, Any]) -> Jwt:
    issuer, mappings = told.get("issuer", {}), told.get("claimMappings", {})
    return Jwt(
        Issuer(
            issuer.get("url", ""),
            issuer.get("discoveryURL", ""),
            issuer.get("certificateAuthority", ""),
            tuple(issuer.get("audiences", ())),
            issuer.get("audienceMatchPolicy", ""),
            issuer.get("egressSelectorType", ""),
        ),
        tuple(map(_rule, told.get("claimValidationRules", ()))),
        username=_mapping(mappings.get("username", {})),
        groups=_mapping(mappings.get("groups", {})),
        uid=_mapping(mappings.get("uid", {})),
        extra=tuple((entry.get("key", ""), entry.get("valueExpression", "")) for entry in mappings.get("extra", ())),
        user_rules=tuple(map(_rule, told.get("userValidationRules", ()))),
    )


def _mapping(told: Mapping[str, Any]) -> Source:
    return Source(told.get("claim", ""), told.get("prefix"), told.get("expression", ""))


def _rule(told: Mapping[str, Any]) -> Rule:
    return Rule(
        told.get("claim", ""), told.get("requiredValue", ""), told.get("expression", ""), told.get("message", "")
    )


_FLAGS = (
    "oidc_issuer_url",
    "oidc_client_id",
    "oidc_ca_file",
    "oidc_username_claim",
    "oidc_username_prefix",
    "oidc_groups_claim",
    "oidc_groups_prefix",
    "oidc_signing_algs",
    "oidc_required_claim",
)


def load(config: Config) -> tuple[Configuration, bytes | None]:
    """The configuration of the file or of the flags, and the file's bytes. ConfigError, with the original's text."""
    told = [name for name in _FLAGS if getattr(config, name) != getattr(Config(), name)]
    path = config.authentication_config
    if path is None:
        if told and not (config.oidc_issuer_url and config.oidc_client_id):
            text = "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
            raise ConfigError(text)
        return _from_flags(config), None
    if told:
        raise ConfigError("authentication-config file and oidc-* flags are mutually exclusive")
    try:
        raw = Path(path).read_bytes()
        found = parse(raw)
    except OSError as error:
        problem = file_error(error)
        raise ConfigError(f'failed to load authentication configuration from file "{path}": {problem}') from error
    except ConfigError as error:
        raise ConfigError(f'failed to load authentication configuration from file "{path}": {error}') from error
    return found, raw


def _from_flags(config: Config) -> Configuration:
    if not config.oidc_issuer_url:
        return Configuration()
    prefix = config.oidc_username_prefix
    if not prefix and config.oidc_username_claim != "email":
        prefix = config.oidc_issuer_url + "#"
    authority = ""
    if config.oidc_ca_file is not None:
        try:
            authority = config.oidc_ca_file.read_text()
        except OSError as error:
            raise ConfigError(file_error(error)) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{config.oidc_ca_file}: not PEM") from error
    jwt = Jwt(
        Issuer(config.oidc_issuer_url, "", authority, (config.oidc_client_id,)),
        tuple(Rule(claim, value) for claim, value in config.oidc_required_claim.items()),
        Source(config.oidc_username_claim, "" if prefix == "-" else prefix),
        Source(config.oidc_groups_claim, config.oidc_groups_prefix) if config.oidc_groups_claim else Source(),
    )
    return Configuration((jwt,), None, tuple(config.oidc_signing_algs))
