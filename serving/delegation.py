"""Authentication and authorisation for servers that are not the API server, by asking it (TokenReview, SubjectAccessReview).

The node agent uses this as kubelet does: a client certificate that the cluster's CA signed, or a bearer token, says who it
is; whether they may is for the API server to say. Answers are cached for as long as kubelet's, in bounded tables; a
token is kept only as its hash. Refuses to let anybody in when the API server cannot be reached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from apimachinery.clock import Clock
from apimachinery.gvk import Resource
from serving.expiring import Expiring

Obj = dict[str, Any]
Create = Callable[[Resource, Obj], Awaitable[Obj]]

TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False)
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False)

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"

TOKEN_SECONDS = 120.0  # kubelet's authentication.webhook.cacheTTL
ALLOWED_SECONDS = 300.0  # kubelet's authorization.webhook.cacheAuthorizedTTL
DENIED_SECONDS = 30.0  # kubelet's authorization.webhook.cacheUnauthorizedTTL
_TABLE_SIZE = 4096


class Headers(Protocol):
    """Request headers, case-insensitive."""

    def get(self, key: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from (authentication/v1 UserInfo)."""

    name: str
    uid: str = ""
    groups: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)


ANONYMOUS = Identity("system:anonymous", groups=(UNAUTHENTICATED,))


class Delegation:
    """create: posts an object to the API server and returns its answer (client.Client.create fits)."""

    def __init__(self, create: Create, *, clock: Clock, anonymous: bool = False, tokens: bool = True) -> None:
        self._create = create
        self._clock = clock
        self._anonymous = anonymous
        self._uses_tokens = tokens
        self._certificates: Expiring[Hashable, Identity] = Expiring(clock, _TABLE_SIZE)
        self._tokens: Expiring[Hashable, Identity] = Expiring(clock, _TABLE_SIZE)
        self._decisions: Expiring[Hashable, bool] = Expiring(clock, _TABLE_SIZE)

    # -- who

    async def authenticate(self, headers: Headers, certificate: bytes | None) -> Identity | None:
        """The sender, None when it is nobody we know (401). certificate: the client's in DER, whose signature TLS has
        verified against the cluster's CA. Raises what create() raises."""
        if certificate is not None:
            identity = self._by_certificate(certificate)
            if identity is not None:
                return identity
        scheme, _, token = (headers.get("Authorization") or "").partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token:
            return await self._by_token(token) if self._uses_tokens else None
        return ANONYMOUS if self._anonymous and certificate is None else None

    def _by_certificate(self, der: bytes) -> Identity | None:
        key = hashlib.sha256(der).digest()
        known = self._certificates.get(key)
        if known is not None:
            return known
        parsed = _read_certificate(der, self._clock.time())
        if parsed is None:
            return None
        identity, remaining = parsed
        self._certificates.put(key, identity, min(remaining, TOKEN_SECONDS))
        return identity

    async def _by_token(self, token: str) -> Identity | None:
        key = hashlib.sha256(token.encode()).digest()
        known = self._tokens.get(key)
        if known is not None:
            return known
        review = {"apiVersion": TOKEN_REVIEWS.api_version, "kind": "TokenReview", "spec": {"token": token}}
        status = (await self._create(TOKEN_REVIEWS, review)).get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status.get("user") or {}
        identity = Identity(
            user.get("username", ""), user.get("uid", ""), tuple(user.get("groups") or ()), user.get("extra") or {}
        )
        self._tokens.put(key, identity, TOKEN_SECONDS)
        return identity

    # -- may they

    async def allows(self, identity: Identity, attributes: Mapping[str, str]) -> bool:
        """Whether the API server allows it. attributes: a ResourceAttributes ({"verb", "resource", ...}), or a
        NonResourceAttributes when it has a "path". Raises what create() raises."""
        key = (identity.name, identity.uid, tuple(identity.groups), tuple(sorted(attributes.items())))
        known = self._decisions.get(key)
        if known is not None:
            return known
        which = "nonResourceAttributes" if "path" in attributes else "resourceAttributes"
        spec: Obj = {"user": identity.name, "groups": list(identity.groups), which: dict(attributes)}
        if identity.uid:
            spec["uid"] = identity.uid
        if identity.extra:
            spec["extra"] = {name: list(values) for name, values in identity.extra.items()}
        review = {"apiVersion": ACCESS_REVIEWS.api_version, "kind": "SubjectAccessReview", "spec": spec}
        status = (await self._create(ACCESS_REVIEWS, review)).get("status") or {}
        allowed = bool(status.get("allowed"))
        self._decisions.put(key, allowed, ALLOWED_SECONDS if allowed else DENIED_SECONDS)
        return allowed


def _read_certificate(der: bytes, now: float) -> tuple[Identity, float] | None:
    """(the identity in a client certificate, seconds it is still valid), None when it is out of date or not for clients."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    certificate = x509.load_der_x509_certificate(der)
    begin = certificate.not_valid_before_utc.timestamp()
    end = certificate.not_valid_after_utc.timestamp()
    if not begin <= now < end:
        return None
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usages = None
    if usages is not None and not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(
        usages
    ):
        return None
    names = [str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if not names or not names[-1]:
        return None
    return Identity(names[-1], groups=(*groups, AUTHENTICATED)), end - now
