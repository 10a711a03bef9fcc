"""A token of one issuer to a user: verified, its claims expanded, mapped, and held against the configured rules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import go_quote
from apiserver.authn.base import CREDENTIAL_ID, AuthenticationError
from apiserver.authn.metrics import IssuerMetrics
from apiserver.authn.oidc import claims as decoding
from apiserver.authn.oidc import expressions
from apiserver.authn.oidc.claims import Claims, WrongType
from apiserver.authn.oidc.configuration import Jwt, Source
from apiserver.authn.oidc.distributed import ClaimResolver
from apiserver.authn.oidc.provider import HttpClient, KeySet, ProviderError, Spawn, Verifier, discover
from apiserver.authn.oidc.validation import Compiled
from apiserver.authn.user import User

log = logging.getLogger(__name__)

_RETRY_SECONDS = 10.0


class JwtAuthenticator:
    """One issuer. initialise() runs once, in the background; until it is done, tokens of the issuer are refused."""

    def __init__(
        self,
        jwt: Jwt,
        compiled: Compiled,
        algorithms: tuple[str, ...],
        clock: Clock,
        spawn: Spawn,
        metrics: IssuerMetrics,
    ) -> None:
        issuer = jwt.issuer
        self.issuer = issuer.url
        self._jwt = jwt
        self._compiled = compiled
        self._algorithms = algorithms
        self._clock = clock
        self._spawn = spawn
        self._metrics = metrics
        self._required = {rule.claim: rule.required_value for rule in jwt.claim_rules if rule.claim}
        self._http = HttpClient(issuer.certificate_authority, clock)
        self._verifier: Verifier | None = None
        self.problem = f"oidc: authenticator for issuer {go_quote(self.issuer)} is not initialized"
        self._resolver = None
        if jwt.groups.claim:
            self._resolver = ClaimResolver(
                jwt.groups.claim,
                self._http,
                audiences=issuer.audiences,
                algorithms=algorithms,
                clock=clock,
                spawn=spawn,
            )

    async def initialise(self) -> None:
        """Discover the issuer, however often it takes. problem: what hinders it, "" when nothing does."""
        issuer = self._jwt.issuer
        while True:
            try:
                url = await discover(self._http, issuer.url, issuer.discovery_url)
            except ProviderError as error:
                log.error("oidc authenticator: initializing plugin: %s", error)
                self.problem = f"oidc: authenticator for issuer {go_quote(self.issuer)} is not healthy: {error}"
                await self._clock.sleep(_RETRY_SECONDS)
                continue
            keys = KeySet(self._http, url, self._clock, self._spawn, self._metrics)
            self._verifier = Verifier(keys, issuer.url, issuer.audiences, self._algorithms, self._clock)
            self.problem = ""
            return

    async def close(self) -> None:
        await self._http.close()

    async def authenticate_token(self, token: str) -> User:
        """The user of a token that says to be of this issuer. AuthenticationError."""
        begun = self._clock.monotonic()
        try:
            user = await self._authenticate(token)
        except AuthenticationError:
            self._metrics.authenticated("failure", self._clock.monotonic() - begun)
            raise
        self._metrics.authenticated("success", self._clock.monotonic() - begun)
        return user

    async def _authenticate(self, token: str) -> User:
        if self._verifier is None:
            raise AuthenticationError("oidc: authenticator not initialized")
        try:
            claims = await self._verifier.claims(token)
        except ProviderError as error:
            raise AuthenticationError(f"oidc: verify token: {error}") from error
        if self._resolver is not None:
            try:
                await self._resolver.expand(claims)
            except ProviderError as error:
                raise AuthenticationError(f"oidc: could not expand distributed claims: {error}") from error
        return self._user(claims)

    def _user(self, claims: Claims) -> User:
        compiled = self._compiled
        variables = expressions.claims_variables(claims)
        user = User(
            self._username(claims, variables),
            groups=self._groups(claims, variables),
            uid=self._uid(claims, variables),
            extra=self._extra(claims, variables),
        )
        self._check_required(claims)
        if compiled.claim_rules:
            _hold("oidc: error evaluating claim validation expression", compiled.claim_rules, variables)
        if compiled.user_rules:
            _hold(
                "oidc: error evaluating user info validation rule",
                compiled.user_rules,
                expressions.user_variables(user),
            )
        return user

    def _username(self, claims: Claims, variables: Mapping[str, Any]) -> str:
        expression = self._compiled.username
        if expression is not None:
            value = _evaluated("username", lambda: expression.value(variables))
            name = expressions.text_of(value, "username")
            if not name:
                raise AuthenticationError("oidc: empty username via CEL expression is not allowed")
            return name
        source = self._jwt.username
        name = _claim(claims, source.claim, "oidc: parse username claims %q: ")
        if source.claim == "email" and "email_verified" in claims:
            try:
                verified = decoding.truth(claims["email_verified"])
            except WrongType as error:
                raise AuthenticationError(f"oidc: parse 'email_verified' claim: {error}") from error
            if not verified:
                raise AuthenticationError("oidc: email not verified")
        return (source.prefix or "") + name

    def _groups(self, claims: Claims, variables: Mapping[str, Any]) -> tuple[str, ...]:
        source: Source = self._jwt.groups
        if source.claim:
            if source.claim not in claims:
                return ()
            try:
                groups = decoding.texts(claims[source.claim])
            except WrongType as error:
                raise AuthenticationError(f"oidc: parse groups claim {go_quote(source.claim)}: {error}") from error
            return tuple((source.prefix or "") + group for group in groups)
        expression = self._compiled.groups
        if expression is None:
            return ()
        value = _evaluated("group", lambda: expression.value(variables))
        try:
            return tuple(expressions.texts_of(value))
        except ValueError as error:
            raise AuthenticationError(f"oidc: error evaluating group claim expression: {error}") from error

    def _uid(self, claims: Claims, variables: Mapping[str, Any]) -> str:
        if self._jwt.uid.claim:
            return _claim(claims, self._jwt.uid.claim, "oidc: parse uid claim %q: ")
        expression = self._compiled.uid
        if expression is None:
            return ""
        return expressions.text_of(_evaluated("uid", lambda: expression.value(variables)), "uid")

    def _extra(self, claims: Claims, variables: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        extra: dict[str, tuple[str, ...]] = {}
        jti = claims.get("jti")
        if isinstance(jti, str) and jti:
            extra[CREDENTIAL_ID] = (f"JTI={jti}",)
        values = [(key, expression, expression.value(variables)) for key, expression in self._compiled.extra]
        for key, expression, value in values:
            try:
                found = expressions.texts_of(value)
            except ValueError as error:
                words = f"oidc: error evaluating extra claim expression: {expression.text}: {error}"
                raise AuthenticationError(words) from error
            if found:
                extra[key] = tuple(found)
        return extra

    def _check_required(self, claims: Claims) -> None:
        for claim, wanted in self._required.items():
            if claim not in claims:
                raise AuthenticationError(f"oidc: required claim {claim} not present in ID token")
            try:
                value = decoding.text(claims[claim])
            except WrongType as error:
                raise AuthenticationError(f"oidc: parse claim {claim}: {error}") from error
            if value != wanted:
                text = f"oidc: required claim {claim} value does not match. Got = {value}, want = {wanted}"
                raise AuthenticationError(text)


def _claim(claims: Claims, name: str, words: str) -> str:
    try:
        return decoding.claim_text(claims, name)
    except WrongType as error:
        raise AuthenticationError(words.replace("%q", go_quote(name)) + str(error)) from error


def _evaluated(what: str, evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except AuthenticationError as error:
        raise AuthenticationError(f"oidc: error evaluating {what} claim expression: {error}") from error


def _hold(words: str, rules: tuple[expressions.Expression, ...], variables: Mapping[str, Any]) -> None:
    try:
        expressions.hold(rules, variables)
    except AuthenticationError as error:
        raise AuthenticationError(f"{words}: {error}") from error
