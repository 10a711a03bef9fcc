"""Puts the authenticators together in the original's order, and answers the review kinds.

Order: front proxy, client certificate, bearer token (static file, service account, bootstrap), anonymous. The first that
knows its credentials wins; credentials that were presented and refused by all are 401, never anonymous.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import errors, times
from apimachinery.clock import Clock, RealClock
from apiserver.authn import issuer as issuing
from apiserver.authn import jose
from apiserver.authn.base import AuthenticationError, Credentials, RequestAuthenticator, Response, TokenAuthenticator
from apiserver.authn.bearer import BearerAuthenticator
from apiserver.authn.config import Config
from apiserver.authn.lru import LRU
from apiserver.authn.user import ANONYMOUS, User
from apiserver.registry.kind import Ctx, NotifyingReader, Obj

log = logging.getLogger(__name__)

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


class Authentication:
    """All ways in. Built by build(); see the package's docstring for what others call."""

    def __init__(
        self,
        *,
        authenticators: Sequence[RequestAuthenticator],
        bearer: BearerAuthenticator,
        anonymous: bool,
        api_audiences: Sequence[str],
        issuer: issuing.TokenIssuer | None,
        issuer_url: str,
        jwks_uri: str,
        keys: Sequence[jose.Key],
        clock: Clock,
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._bearer = bearer
        self._anonymous = anonymous
        self.api_audiences = tuple(api_audiences)
        self.issuer = issuer
        self._issuer_url = issuer_url
        self._jwks_uri = jwks_uri
        self._keys = tuple(keys)
        self._clock = clock
        self._grouped: LRU[int, tuple[User, User]] = LRU(8192)

    async def authenticate(self, credentials: Credentials) -> User:
        """The request's user, in system:authenticated. Raises ApiError 401."""
        problems: list[str] = []
        for authenticator in self._authenticators:
            try:
                response = await authenticator.authenticate(credentials)
            except AuthenticationError as error:
                problems.append(str(error))
                continue
            if response is not None:
                return self._with_groups(response.user)
        if problems:
            log.warning("Unable to authenticate the request: %s", ", ".join(dict.fromkeys(problems)))
            raise errors.unauthorized()
        if not self._anonymous:
            raise errors.unauthorized()
        return ANONYMOUS

    def _with_groups(self, user: User) -> User:
        known = self._grouped.get(id(user))
        if known is not None and known[0] is user:
            return known[1]
        grouped = add_group(user)
        self._grouped.put(id(user), (user, grouped))
        return grouped

    # -- review kinds

    async def token_review(self, review: Obj) -> Obj:
        """The TokenReview with its status. ApiError 400 without a token."""
        spec = review.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or ()) or self.api_audiences
        status: dict[str, Any] = {}
        try:
            response: Response | None = await self._bearer.authenticate_token(token, audiences)
        except AuthenticationError as error:
            response, status = None, {"error": str(error)}
        if response is not None:
            if audiences and response.audiences and not set(audiences) & set(response.audiences):
                raise errors.internal_error("error validating audiences")
            status = {"authenticated": True, "user": user_info(add_group(response.user))}
            if response.audiences:
                status["audiences"] = list(response.audiences)
        elif "user" not in status:
            status["user"] = {}
        review["status"] = status
        return review

    def self_subject_review(self, user: User, review: Obj) -> Obj:
        """The SelfSubjectReview with its status."""
        review["metadata"] = {"creationTimestamp": times.now(self._clock)}
        review["status"] = {"userInfo": user_info(user)}
        return review

    def services(self) -> Mapping[str, Any]:
        """What kinds and handlers look up in ctx.services:

        "token-review", "self-subject-review": async (ctx, obj) -> obj
        "token-issuer": the TokenIssuer; absent without a signing key.
        """

        async def token_review(ctx: Ctx, obj: Obj) -> Obj:
            return await self.token_review(obj)

        async def self_subject_review(ctx: Ctx, obj: Obj) -> Obj:
            return self.self_subject_review(ctx.user, obj)

        offered: dict[str, Any] = {"token-review": token_review, "self-subject-review": self_subject_review}
        if self.issuer is not None:
            offered["token-issuer"] = self.issuer
        return offered

    # -- documents for those who verify our tokens

    def jwks(self) -> Obj | None:
        """/openid/v1/jwks; None without keys."""
        return issuing.jwks(self._keys) if self._keys else None

    def openid_configuration(self, external: str = "") -> Obj | None:
        """/.well-known/openid-configuration; external: "host:port" clients reach the server by. None without keys, or for an
        issuer that is no https URL."""
        if not self._keys or not self._issuer_url.startswith("https://"):
            return None
        jwks_uri = self._jwks_uri or f"https://{external or self._issuer_url.removeprefix('https://')}/openid/v1/jwks"
        return issuing.openid_configuration(self._issuer_url, jwks_uri, self._keys)


def add_group(user: User) -> User:
    """The user in system:authenticated, unless it already says which of the two groups it is in."""
    if user.name == ANONYMOUS.name or AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return User(user.name, user.uid, (*user.groups, AUTHENTICATED), user.extra)


def user_info(user: User) -> Obj:
    """authentication/v1 UserInfo."""
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return info


def build(config: Config, reader: NotifyingReader, clock: Clock) -> Authentication:
    """See apiserver/authn/__init__.py. Certificates go by the machine's own time, as TLS does."""
    from apiserver.authn import bootstraptokens, frontproxy, serviceaccounts, tokenfile, x509

    issuers = tuple(config.service_account_issuer)
    audiences = tuple(config.api_audiences) or issuers
    signer = _signer(config)
    keys = [key for path in config.service_account_key_file for key in jose.load_public(path)]
    if signer is not None and all(key.kid != signer.key.kid for key in keys):
        if config.service_account_key_file:
            log.warning("the service account signing key is not among the keys that verify tokens; adding it")
        keys.insert(0, signer.key)
    tokens: list[TokenAuthenticator] = []
    if config.token_auth_file is not None:
        tokens.append(tokenfile.TokenFileAuthenticator(tokenfile.read_csv(config.token_auth_file), audiences))
    if keys:
        tokens.append(
            serviceaccounts.ServiceAccountAuthenticator(
                issuers=issuers,
                keys=keys,
                api_audiences=audiences,
                lookup=config.service_account_lookup,
                reader=reader,
                clock=clock,
            )
        )
    if config.enable_bootstrap_token_auth:
        tokens.append(bootstraptokens.BootstrapTokenAuthenticator(audiences, reader, clock))
    authenticators: list[RequestAuthenticator] = []
    if config.requestheader_client_ca_file is not None:
        authenticators.append(
            frontproxy.FrontProxyAuthenticator(
                x509.load_bundle(config.requestheader_client_ca_file),
                allowed_names=config.requestheader_allowed_names,
                username_headers=config.requestheader_username_headers,
                uid_headers=config.requestheader_uid_headers,
                group_headers=config.requestheader_group_headers,
                extra_prefixes=config.requestheader_extra_headers_prefix,
                clock=RealClock(),
            )
        )
    if config.client_ca_file is not None:
        authenticators.append(x509.CertificateAuthenticator(x509.load_bundle(config.client_ca_file), RealClock()))
    bearer = BearerAuthenticator(tokens)
    authenticators.append(bearer)
    token_issuer = None
    if signer is not None:
        token_issuer = issuing.TokenIssuer(
            signer,
            issuer=issuers[0],
            api_audiences=audiences,
            max_expiration=config.service_account_max_token_expiration,
            extend_expiration=config.service_account_extend_token_expiration,
            reader=reader,
            clock=clock,
        )
    return Authentication(
        authenticators=authenticators,
        bearer=bearer,
        anonymous=config.anonymous_auth,
        api_audiences=audiences,
        issuer=token_issuer,
        issuer_url=issuers[0] if issuers else "",
        jwks_uri=config.service_account_jwks_uri,
        keys=keys,
        clock=clock,
    )


def _signer(config: Config) -> jose.Signer | None:
    if config.service_account_signing_key_file is None:
        return None
    if not config.service_account_issuer:
        raise ValueError("service-account-issuer is a required flag, --service-account-issuer must be specified")
    return jose.Signer.load(config.service_account_signing_key_file)
