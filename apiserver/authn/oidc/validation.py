"""What an AuthenticationConfiguration must be, in the original's words, and its expressions compiled.

problems = check(configuration, disallowed)             what is wrong, field by field
compiled, problems = compile_jwt(jwt, path, disallowed)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509

from apimachinery import field
from apimachinery.cel.errors import EvalError
from apimachinery.cel.library import urls
from apimachinery.field import FieldError, go_quote
from apiserver.authn.oidc import expressions
from apiserver.authn.oidc.configuration import Configuration, Issuer, Jwt, Rule, Source
from apiserver.authn.oidc.expressions import Expression
from apiserver.validation import names

_MOST = 64
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----")
_URL_PREFIX = "URL parse error during conversion from string: "


@dataclass(frozen=True, slots=True)
class Compiled:
    """The expressions of one issuer. extra: by key."""

    username: Expression | None = None
    groups: Expression | None = None
    uid: Expression | None = None
    extra: tuple[tuple[str, Expression], ...] = ()
    claim_rules: tuple[Expression, ...] = ()
    user_rules: tuple[Expression, ...] = ()


def check(configuration: Configuration, disallowed: Sequence[str]) -> list[FieldError]:
    """disallowed: issuers that others know, such as the service accounts' own."""
    if len(configuration.jwt) > _MOST:
        return [field.too_many("jwt", len(configuration.jwt), _MOST)]
    problems: list[FieldError] = []
    issuers: set[str] = set()
    discoveries: set[str] = set()
    for at, jwt in enumerate(configuration.jwt):
        path = f"jwt[{at}]"
        problems += compile_jwt(jwt, path, disallowed)[1]
        if jwt.issuer.url in issuers:
            problems.append(field.duplicate(f"{path}.issuer.url", jwt.issuer.url))
        issuers.add(jwt.issuer.url)
        discovery = jwt.issuer.discovery_url
        if discovery and discovery in discoveries:
            problems.append(field.duplicate(f"{path}.issuer.discoveryURL", discovery))
        discoveries.add(discovery)
    anonymous = configuration.anonymous
    if anonymous is not None and not anonymous.enabled and anonymous.paths:
        shown = [{"Path": path} for path in anonymous.paths]
        text = "enabled should be set to true when conditions are defined"
        problems.append(field.invalid("anonymous.conditions", shown, text))
    return problems


def compile_jwt(jwt: Jwt, path: str, disallowed: Sequence[str]) -> tuple[Compiled, list[FieldError]]:
    """The issuer's expressions, as far as they compile, and all that is wrong with it."""
    problems = _check_issuer(jwt.issuer, field.child(path, "issuer"), disallowed)
    claim_rules = _claim_rules(jwt.claim_rules, field.child(path, "claimValidationRules"), problems)
    mappings = field.child(path, "claimMappings")
    username = _prefixed(jwt.username, f"{mappings}.username", problems, required=True)
    groups = _prefixed(jwt.groups, f"{mappings}.groups", problems)
    uid = None
    if jwt.uid.claim and jwt.uid.expression:
        problems.append(field.invalid(f"{mappings}.uid", "", "claim and expression can't both be set"))
    elif jwt.uid.expression:
        uid = _claims(jwt.uid.expression, f"{mappings}.uid.expression", problems)
    extra = _extra(jwt.extra, f"{mappings}.extra", problems)
    verifies = [*claim_rules, *(expression for _, expression in extra), *filter(None, [username])]
    if username and username.reads("email") and not any(e.reads("email_verified") for e in verifies):
        text = (
            "claims.email_verified must be used in claimMappings.username.expression or "
            "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in "
            "claimMappings.username.expression"
        )
        problems.append(field.invalid(f"{mappings}.username.expression", jwt.username.expression, text))
    user_rules = _user_rules(jwt.user_rules, field.child(path, "userValidationRules"), problems)
    return Compiled(username, groups, uid, extra, claim_rules, user_rules), problems


# -- the issuer


def _check_issuer(issuer: Issuer, path: str, disallowed: Sequence[str]) -> list[FieldError]:
    problems = _check_url(issuer.url, f"{path}.url", disallowed) if issuer.url else [field.required(f"{path}.url")]
    discovery = issuer.discovery_url
    if discovery:
        if issuer.url and issuer.url.rstrip("/") == discovery.rstrip("/"):
            text = "discoveryURL must be different from URL"
            problems.append(field.invalid(f"{path}.discoveryURL", discovery, text))
        problems += _check_url(discovery, f"{path}.discoveryURL", ())
    problems += _check_audiences(issuer, path)
    if issuer.certificate_authority and (problem := authority_problem(issuer.certificate_authority)):
        problems.append(field.invalid(f"{path}.certificateAuthority", "<omitted>", problem))
    if issuer.egress_selector_type not in ("", "controlplane", "cluster"):
        text = "egress selector must be either controlplane or cluster"
        problems.append(field.invalid(f"{path}.egressSelectorType", issuer.egress_selector_type, text))
    return problems


def _check_url(text: str, path: str, disallowed: Sequence[str]) -> list[FieldError]:
    problems = []
    if text in disallowed:
        known = "[" + " ".join(sorted(disallowed)) + "]"
        problems.append(field.invalid(path, text, f"URL must not overlap with disallowed issuers: {known}"))
    before, _, fragment = text.partition("#")
    try:
        url = urls.parse(before)
    except EvalError as error:
        problem = str(error).removeprefix(_URL_PREFIX)
        if problem.endswith(
            "invalid URI for request"
        ):  # a path without a scheme: a URL to Go, although no request can go there
            return [*problems, field.invalid(path, text, "URL scheme must be https")]
        quoted, told = f"parse {go_quote(before)}", f"parse {go_quote(text)}"
        return [*problems, field.invalid(path, text, problem.replace(quoted, told, 1))]
    if url.scheme != "https":
        problems.append(field.invalid(path, text, "URL scheme must be https"))
    if "@" in before.partition("//")[2].partition("/")[0].partition("?")[0]:
        problems.append(field.invalid(path, text, "URL must not contain a username or password"))
    if url.query:
        problems.append(field.invalid(path, text, "URL must not contain a query"))
    if fragment:
        problems.append(field.invalid(path, text, "URL must not contain a fragment"))
    return problems


def _check_audiences(issuer: Issuer, path: str) -> list[FieldError]:
    audiences, policy = issuer.audiences, issuer.audience_match_policy
    if not audiences:
        return [field.required(f"{path}.audiences", f"at least one {path}.audiences is required")]
    problems = []
    seen: set[str] = set()
    for at, audience in enumerate(audiences):
        if not audience:
            problems.append(field.required(f"{path}.audiences[{at}]"))
        if audience in seen:
            problems.append(field.duplicate(f"{path}.audiences[{at}]", audience))
        seen.add(audience)
    where = f"{path}.audienceMatchPolicy"
    if len(audiences) > 1 and policy != "MatchAny":
        text = "audienceMatchPolicy must be MatchAny for multiple audiences"
        problems.append(field.invalid(where, policy, text))
    if len(audiences) == 1 and policy not in ("", "MatchAny"):
        text = "audienceMatchPolicy must be empty or MatchAny for single audience"
        problems.append(field.invalid(where, policy, text))
    return problems


def authority_problem(pem: str) -> str:
    """Why a PEM bundle names no authority; "" when it does."""
    blocks = _PEM.findall(pem.replace("\r\n", "\n"))
    if not blocks:
        return "data does not contain any valid RSA or ECDSA certificates"
    try:
        for block in blocks:
            x509.load_pem_x509_certificate(block.encode())
    except ValueError:
        return "x509: malformed certificate"
    return ""


# -- rules and mappings


def _claims(
    text: str, path: str, problems: list[FieldError], *, rule: bool = False, message: str = ""
) -> Expression | None:
    return _compiled(path, text, problems, lambda: expressions.compile_claims(text, rule=rule, message=message))


def _compiled(
    path: str, text: str, problems: list[FieldError], compiled: Callable[[], Expression]
) -> Expression | None:
    try:
        return compiled()
    except expressions.Refused as error:
        problems.append(field.invalid(path, text, str(error)))
        return None


def _claim_rules(rules: Sequence[Rule], path: str, problems: list[FieldError]) -> tuple[Expression, ...]:
    compiled = []
    claims: set[str] = set()
    texts: set[str] = set()
    for at, rule in enumerate(rules):
        where = f"{path}[{at}]"
        if rule.claim and rule.expression:
            problems.append(field.invalid(where, rule.claim, "claim and expression can't both be set"))
        elif rule.claim:
            if rule.message:
                problems.append(
                    field.invalid(f"{where}.message", rule.message, "may not be specified when claim is set")
                )
            if rule.claim in claims:
                problems.append(field.duplicate(f"{where}.claim", rule.claim))
            claims.add(rule.claim)
        elif rule.expression:
            if rule.required_value:
                text = "may not be specified when expression is set"
                problems.append(field.invalid(f"{where}.requiredValue", rule.required_value, text))
            if rule.expression in texts:
                problems.append(field.duplicate(f"{where}.expression", rule.expression))
                continue
            texts.add(rule.expression)
            compiled.append(_claims(rule.expression, f"{where}.expression", problems, rule=True, message=rule.message))
        else:
            problems.append(field.required(where, "claim or expression is required"))
    return tuple(filter(None, compiled))


def _prefixed(mapping: Source, path: str, problems: list[FieldError], *, required: bool = False) -> Expression | None:
    if mapping.expression and mapping.claim:
        problems.append(field.invalid(path, "", "claim and expression can't both be set"))
    elif mapping.expression:
        before = len(problems)
        if mapping.prefix is not None:
            text = "may not be specified when expression is set"
            problems.append(field.invalid(f"{path}.prefix", mapping.prefix, text))
        compiled = _claims(mapping.expression, f"{path}.expression", problems)
        return compiled if len(problems) == before else None
    elif mapping.claim:
        if mapping.prefix is None:
            text = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            problems.append(field.required(f"{path}.prefix", text))
    elif required:
        problems.append(field.required(path, "claim or expression is required"))
    return None


def _extra(
    entries: Sequence[tuple[str, str]], path: str, problems: list[FieldError]
) -> tuple[tuple[str, Expression], ...]:
    compiled = []
    seen: set[str] = set()
    for at, (key, text) in enumerate(entries):
        where = f"{path}[{at}].key"
        problems += names.domain_prefixed_path(key, where)
        if key != key.lower():
            problems.append(field.invalid(where, key, "must be lowercase"))
        domain, slash, _ = key.partition("/")
        if slash and f".{domain}".endswith((".kubernetes.io", ".k8s.io")):
            reserved = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
            problems.append(field.invalid(where, key, reserved))
        if key in seen:
            problems.append(field.duplicate(where, key))
            continue
        seen.add(key)
        where = f"{path}[{at}].valueExpression"
        if not text:
            problems.append(field.required(where))
        elif (expression := _claims(text, where, problems)) is not None:
            compiled.append((key, expression))
    return tuple(compiled)


def _user_rules(rules: Sequence[Rule], path: str, problems: list[FieldError]) -> tuple[Expression, ...]:
    compiled = []
    seen: set[str] = set()
    for at, rule in enumerate(rules):
        where, text, message = f"{path}[{at}].expression", rule.expression, rule.message
        if not text:
            problems.append(field.required(where))
        elif text in seen:
            problems.append(field.duplicate(where, text))
        else:
            seen.add(text)
            try:
                compiled.append(expressions.compile_user(text, message))
            except expressions.Refused as error:
                problems.append(field.invalid(where, text, str(error)))
    return tuple(compiled)
