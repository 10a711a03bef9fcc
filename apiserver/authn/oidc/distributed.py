"""Distributed claims: a claim that a token does not hold itself, but names the endpoint of (OpenID Connect Core, 5.6.2).

Only the groups claim is looked up, as by the original. What the endpoint answers is a token of its own; its issuer is
discovered when it is first met, and until then the claim cannot be had.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import go_quote
from apiserver.authn import jose
from apiserver.authn.oidc import claims as decoding
from apiserver.authn.oidc.provider import HttpClient, KeySet, ProviderError, Spawn, Verifier, discover

log = logging.getLogger(__name__)

_RETRY_SECONDS = 10.0
_MAX_ISSUERS = 64  # the endpoints are named by tokens that are verified: there are few


class ClaimResolver:
    """Looks up one claim. What it cannot have is a ProviderError, with the original's words."""

    def __init__(
        self,
        claim: str,
        http: HttpClient,
        *,
        audiences: Sequence[str],
        algorithms: Sequence[str],
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._claim = claim
        self._http = http
        self._audiences = audiences
        self._algorithms = algorithms
        self._clock = clock
        self._spawn = spawn
        self._verifiers: dict[str, Verifier | None] = {}

    async def expand(self, claims: decoding.Claims) -> None:
        """Put the claim into the claims, if they say where it is to be had."""
        endpoint = self._endpoint(claims)
        if endpoint is None:
            return
        url, access_token = endpoint
        try:
            status, words, body, _ = await self._http.get(url, access_token)
            if not 200 <= status <= 226:
                raise ProviderError(f"error while getting distributed claim JWT: {words}")
            token = body.decode("utf-8", "replace")
        except ProviderError as error:
            raise ProviderError(f"while getting distributed claim {go_quote(self._claim)}: {error}") from error
        issuer = jose.peek_issuer(token)
        if issuer is None:
            problem = f"failed for claim {go_quote(self._claim)}: malformed token"
            raise ProviderError(f"getting untrusted issuer from endpoint {url} {problem}")
        verifier = self._verifier(issuer)
        if verifier is None:
            problem = f"verifier not initialized for issuer: {go_quote(issuer)}"
            raise ProviderError(f"verifying untrusted issuer {issuer} failed: {problem}")
        try:
            found = await verifier.claims(token)
        except ProviderError as error:
            raise ProviderError(f"verify distributed claim token: {error}") from error
        if self._claim not in found:
            where = f"distributed claim endpoint {go_quote(url)}"
            raise ProviderError(f"jwt returned by {where} did not contain claim: {self._claim}")
        claims[self._claim] = found[self._claim]

    def _endpoint(self, claims: decoding.Claims) -> tuple[str, str] | None:
        """(URL, access token) of the claim's source; None when it is here, or nowhere."""
        if self._claim in claims or "_claim_names" not in claims:
            return None
        names = _strings(claims["_claim_names"], "oidc: error parsing distributed claim names: ")
        if "_claim_sources" not in claims:
            raise ProviderError("oidc: no claim sources")
        sources = claims["_claim_sources"] or {}
        words = "oidc: could not parse claim sources: "
        if not isinstance(sources, dict) or not all(isinstance(s, dict) for s in sources.values()):
            raise ProviderError(words + "json: cannot unmarshal into Go value of type oidc.endpoint")
        source = names.get(self._claim)
        if source is None:
            return None
        if source not in sources:
            raise ProviderError(f"id token _claim_names contained a source {source} missing in _claims_sources")
        told = _strings({k: sources[source].get(k) for k in ("endpoint", "access_token")}, words)
        return (told["endpoint"], told["access_token"]) if told["endpoint"] else None

    def _verifier(self, issuer: str) -> Verifier | None:
        if issuer not in self._verifiers:
            if len(self._verifiers) >= _MAX_ISSUERS:
                return None
            self._verifiers[issuer] = None
            self._spawn(self._initialise(issuer), f"issuer-of-claims-{issuer}")
        return self._verifiers[issuer]

    async def _initialise(self, issuer: str) -> None:
        while True:
            try:
                url = await discover(self._http, issuer)
            except ProviderError as error:
                log.error("oidc authenticator: async token verifier for issuer: %r: %s", issuer, error)
                await self._clock.sleep(_RETRY_SECONDS)
                continue
            keys = KeySet(self._http, url, self._clock, self._spawn)
            self._verifiers[issuer] = Verifier(keys, issuer, self._audiences, self._algorithms, self._clock)
            return


def _strings(value: Any, words: str) -> dict[str, str]:
    if value is None:
        return {}
    try:
        if not isinstance(value, dict):
            raise decoding.WrongType(
                f"json: cannot unmarshal {decoding.kind_of(value)} into Go value of type map[string]string"
            )
        return {name: decoding.text(item) for name, item in value.items()}
    except decoding.WrongType as error:
        raise ProviderError(f"{words}{error}") from error
