"""Asks the authenticators in the original's order, counts, and answers the review kinds. assembly.py puts it together.

Order: front proxy, client certificate, bearer token (static file, service account, bootstrap, other issuers, webhook),
anonymous. The first that knows its credentials wins; credentials that were presented and refused by all are 401, never
anonymous.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from apimachinery import errors, times
from apimachinery.clock import Clock
from apiserver.authn import issuer as issuing
from apiserver.authn import jose
from apiserver.authn.anonymous import AnonymousAuthenticator
from apiserver.authn.base import AuthenticationError, Credentials, RequestAuthenticator, Response
from apiserver.authn.bearer import BearerAuthenticator
from apiserver.authn.lru import LRU
from apiserver.authn.metrics import ERROR, FAILURE, AuthenticationMetrics, label_of
from apiserver.authn.user import ANONYMOUS, User
from apiserver.registry.kind import Ctx, Obj

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
_NOBODY = label_of(ANONYMOUS.name)


class Authentication:
    """All ways in. Built by assembly.build(); see the package's docstring for what others call.

    work: what must run while the server serves, by name. closers: what is to be closed when it ends.
    """

    def __init__(
        self,
        *,
        authenticators: Sequence[RequestAuthenticator],
        bearer: BearerAuthenticator,
        anonymous: AnonymousAuthenticator,
        api_audiences: Sequence[str],
        issuer: issuing.TokenIssuer | None,
        issuer_url: str,
        jwks_uri: str,
        keys: Sequence[jose.Key],
        clock: Clock,
        metrics: AuthenticationMetrics,
        work: Mapping[str, Work],
        closers: Sequence[Callable[[], Awaitable[None]]] = (),
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
        self.metrics = metrics
        self.work = work
        self._closers = closers
        self._grouped: LRU[int, tuple[User, tuple[User, tuple[str]]]] = LRU(8192)

    async def close(self) -> None:
        for close in self._closers:
            await close()

    async def authenticate(self, credentials: Credentials) -> User:
        """The request's user, in system:authenticated. Raises ApiError 401."""
        return (await self.identify(credentials))[0]

    async def identify(self, credentials: Credentials) -> tuple[User, Response | None]:
        """As authenticate(), with what the authenticator answered; None for the anonymous user."""
        begun = self._clock.monotonic()
        problems: list[str] = []
        for authenticator in self._authenticators:
            try:
                response = await authenticator.authenticate(credentials)
            except AuthenticationError as error:
                problems.append(str(error))
                continue
            if response is not None:
                user, label = self._with_groups(response.user)
                self.metrics.authenticated(label, self._clock.monotonic() - begun)
                return user, response
        if problems:
            log.warning("Unable to authenticate the request: %s", ", ".join(dict.fromkeys(problems)))
            self.metrics.refused(ERROR, self._clock.monotonic() - begun)
            raise errors.unauthorized()
        anonymous = self._anonymous.authenticate(credentials.path)
        if anonymous is None:
            self.metrics.refused(FAILURE, self._clock.monotonic() - begun)
            raise errors.unauthorized()
        self.metrics.authenticated(_NOBODY, self._clock.monotonic() - begun)
        return anonymous, None

    def _with_groups(self, user: User) -> tuple[User, tuple[str]]:
        """The user in system:authenticated, and how it is counted."""
        known = self._grouped.get(id(user))
        if known is not None and known[0] is user:
            return known[1]
        found = add_group(user), label_of(user.name)
        self._grouped.put(id(user), (user, found))
        return found

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
            response, status = None, {"user": {}, "error": str(error)}
        if response is not None:
            if audiences and response.audiences and not set(audiences) & set(response.audiences):
                raise errors.internal_error("error validating audiences")
            status = {"authenticated": True, "user": user_info(add_group(response.user))}
            if response.audiences:
                status["audiences"] = list(response.audiences)
        elif not status:
            status = {"user": {}}
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
    info: Obj = {"username": user.name} if user.name else {}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return info
