"""Users by service account token: names, claims, and whether the objects that a token is bound to still live.

A token's signature is checked once and remembered by its text. On every use the times are compared with the clock and the
bound objects looked at: their uid and deletion time are remembered until a change of the object is announced, so a token
dies with the write that deletes its service account, pod, secret or node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apiserver.authn import jose
from apiserver.authn.base import CREDENTIAL_ID, AuthenticationError, Response, quoted
from apiserver.authn.legacytokens import LEGACY_TOKEN, LegacyTokens
from apiserver.authn.lru import LRU
from apiserver.authn.metrics import HIT, MISS, AuthenticationMetrics
from apiserver.authn.user import User
from apiserver.registry.kind import NotifyingReader, Writer
from apiserver.registry.lookup import Lookup
from apiserver.validation import names

PREFIX = "system:serviceaccount:"
ALL_GROUP = "system:serviceaccounts"
POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
NODE_NAME = "authentication.kubernetes.io/node-name"
NODE_UID = "authentication.kubernetes.io/node-uid"
LEGACY_ISSUER = "kubernetes/serviceaccount"
LEEWAY = 60  # seconds by which clocks may differ, and for which a deleted object's tokens still work
_TOKENS = 8192  # remembered tokens, about 3 KB each


def username(namespace: str, name: str) -> str:
    return f"{PREFIX}{namespace}:{name}"


def group_names(namespace: str) -> tuple[str, str]:
    return ALL_GROUP, f"{ALL_GROUP}:{namespace}"


def split_username(user: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name; None for other users and malformed names."""
    if not user.startswith(PREFIX):
        return None
    namespace, colon, name = user[len(PREFIX) :].partition(":")
    if not colon or ":" in name or names.dns_label(namespace, False) or names.dns_subdomain(name, False):
        return None
    return namespace, name


@dataclass(frozen=True, slots=True)
class Bound:
    """An object that a token lives and dies with. missing: the refusal when there is none; gone: when it has been deleted.

    kind, claim: how a refusal for another uid names the object and the claim.
    """

    plural: str
    namespace: str | None
    name: str
    uid: str
    missing: str
    gone: str
    kind: str
    claim: str


@dataclass(frozen=True, slots=True)
class Claims:
    """A verified token: who, until when, for whom, and bound to what. Times in seconds since the epoch, None if absent."""

    user: User
    audiences: tuple[str, ...]
    issued_at: float | None
    not_before: float | None
    expires: float | None
    bound: tuple[Bound, ...]
    warn_after: float | None = None
    legacy: tuple[tuple[str, str], str] | None = None  # of old: (namespace, account), name of its secret


class Liveness:
    """uid and deletion time of objects."""

    def __init__(self, reader: NotifyingReader, accounts: Lookup) -> None:
        self._lookups = {plural: Lookup(reader, "", plural) for plural in ("pods", "secrets", "nodes")}
        self._lookups["serviceaccounts"] = accounts

    async def look(self, bound: Bound) -> tuple[str, float | None]:
        """(uid, deletion time or None); ("", None) when there is no such object."""
        obj = await self._lookups[bound.plural].get(bound.namespace, bound.name)
        if obj is None:
            return "", None
        deleted = obj["metadata"].get("deletionTimestamp")
        return obj["metadata"].get("uid", ""), times.parse_time(deleted) if deleted else None


class ServiceAccountAuthenticator:
    """Users by tokens of the configured issuers, and by the older tokens that live in secrets."""

    def __init__(
        self,
        *,
        issuers: Sequence[str],
        keys: Sequence[jose.Key],
        api_audiences: Sequence[str],
        lookup: bool,
        reader: NotifyingReader,
        writer: Writer | None,
        clock: Clock,
        metrics: AuthenticationMetrics,
    ) -> None:
        self._issuers = frozenset(issuers)
        self._keys = tuple(keys)
        self._api_audiences = tuple(api_audiences)
        self._lookup = lookup
        self._clock = clock
        self._metrics = metrics
        accounts = Lookup(reader, "", "serviceaccounts")
        self._liveness = Liveness(reader, accounts)
        self._legacy = LegacyTokens(accounts, reader, writer, clock, metrics)
        self._verified: LRU[str, tuple[Claims, Response | None]] = LRU(_TOKENS)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> Response | None:
        entry = self._verified.get(token)
        if entry is None:
            claims = self._verify(token)
            if claims is None:
                return None
            entry = claims, self._usual(claims)
            self._verified.put(token, entry)
            self._metrics.cache_requests.add(MISS)
        else:
            self._metrics.cache_requests.add(HIT)
        claims, usual = entry
        if usual is not None and not audiences:
            self._check_times(claims)
            if self._lookup:
                await self._check_bound(claims)
            return usual
        return await self._unusual(token, claims, audiences)

    def _verify(self, token: str) -> Claims | None:
        """The claims of a token of ours; None for what is none."""
        issuer = jose.peek_issuer(token)
        if issuer is None or (issuer != LEGACY_ISSUER and issuer not in self._issuers):
            return None
        try:
            raw = jose.verify(token, self._keys)
        except jose.Malformed:
            return None
        except jose.BadToken as error:
            raise AuthenticationError(str(error)) from error
        return _legacy_claims(raw) if issuer == LEGACY_ISSUER else _claims(raw)

    def _usual(self, claims: Claims) -> Response | None:
        """What is answered for the token each time, if it is for this server and there is nothing to tell of its use."""
        if claims.legacy is not None or claims.warn_after is not None or not claims.audiences:
            return None
        shared = tuple(a for a in self._api_audiences if a in claims.audiences)
        return Response(claims.user, shared) if shared or not self._api_audiences else None

    async def _unusual(self, token: str, claims: Claims, audiences: Sequence[str]) -> Response:
        if not claims.audiences:
            self._metrics.legacy_tokens.add()
        good_for = self._check_audience(claims, audiences)
        self._check_times(claims)
        if claims.legacy is not None:
            if not self._lookup:
                return Response(claims.user, good_for)
            return await self._legacy.check(token, claims.user, *claims.legacy, good_for)
        if self._lookup:
            await self._check_bound(claims)
        if claims.warn_after is not None:
            return self._overdue(claims, good_for)
        if not claims.audiences:
            return Response(claims.user, good_for, annotations={LEGACY_TOKEN: claims.user.name})
        return Response(claims.user, good_for)

    def _check_audience(self, claims: Claims, audiences: Sequence[str]) -> tuple[str, ...]:
        mine = claims.audiences or self._api_audiences
        wanted = audiences or self._api_audiences
        shared = tuple(a for a in wanted if a in mine)
        if not shared and self._api_audiences:
            raise AuthenticationError(
                f"token audiences {quoted(mine)} is invalid for the target audiences {quoted(wanted)}"
            )
        return shared

    def _check_times(self, claims: Claims) -> None:
        now = self._clock.time()
        if claims.not_before is not None and now + LEEWAY < claims.not_before:
            raise AuthenticationError("service account token is not valid yet")
        if claims.expires is not None and now - LEEWAY > claims.expires:
            raise AuthenticationError("service account token has expired")
        if claims.issued_at is not None and now + LEEWAY < claims.issued_at:
            raise AuthenticationError("service account token is issued in the future")

    def _overdue(self, claims: Claims, good_for: tuple[str, ...]) -> Response:
        """The response for a token that lives longer than it was asked for; used after that, its client never renews it."""
        late = self._clock.time() - (claims.warn_after or 0)
        if late <= 0:
            self._metrics.valid_tokens.add()
            return Response(claims.user, good_for)
        self._metrics.stale_tokens.add()
        text = f"subject: {claims.user.name}, seconds after warning threshold: {int(late)}"
        return Response(claims.user, good_for, annotations={"authentication.k8s.io/stale-token": text})

    async def _check_bound(self, claims: Claims) -> None:
        deleted_before = self._clock.time() - LEEWAY
        for bound in claims.bound:
            uid, deleted = await self._liveness.look(bound)
            if not uid:
                raise AuthenticationError(bound.missing)
            if uid != bound.uid:
                raise AuthenticationError(f"{bound.kind} UID ({uid}) does not match {bound.claim} ({bound.uid})")
            if deleted is not None and deleted < deleted_before:
                raise AuthenticationError(bound.gone)


def _wrong(value: Any, go_type: str = "string") -> AuthenticationError:
    kinds = {dict: "object", list: "array", str: "string", bool: "bool"}
    kind = kinds.get(type(value), "number")
    return AuthenticationError(f"json: cannot unmarshal {kind} into Go value of type {go_type}")


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AuthenticationError("go-jose/go-jose/jwt: expected number value to unmarshal NumericDate")
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(value)
    return value


def _audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    value = claims.get("aud")
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise AuthenticationError("go-jose/go-jose/jwt: expected string or array value to unmarshal to Audience")
    return tuple(values)


def _reference(claims: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong(value, "serviceaccount.ref")
    return _text(value, "name"), _text(value, "uid")


def _claims(raw: Mapping[str, Any]) -> Claims:
    """The claims of a token of today. Raises AuthenticationError for claims of wrong types."""
    private = raw.get("kubernetes.io") or {}
    if not isinstance(private, dict):
        raise _wrong(private, "serviceaccount.kubernetes")
    namespace = _text(private, "namespace")
    account = _reference(private, "serviceaccount")
    if account is None or not account[0]:
        raise AuthenticationError("resource name may not be empty")
    name, uid = account
    pod, secret, node = (_reference(private, key) for key in ("pod", "secret", "node"))
    dead = "service account token has been invalidated"
    deleted = f"service account {namespace}/{name} has been deleted"
    missing = f'serviceaccounts "{name}" not found'
    bound = [Bound("serviceaccounts", namespace, name, uid, missing, deleted, "service account", "claim")]
    reference = "service account {} ref claim"
    if secret is not None:
        bound.append(Bound("secrets", namespace, *secret, dead, dead, "secret", reference.format("secret")))
    if pod is not None:
        bound.append(Bound("pods", namespace, *pod, dead, dead, "pod", reference.format("pod")))
    elif node is not None:
        bound.append(Bound("nodes", None, *node, dead, dead, "node", reference.format("node")))
    extra: dict[str, tuple[str, ...]] = {}
    if pod is not None and all(pod):
        extra[POD_NAME], extra[POD_UID] = (pod[0],), (pod[1],)
    if _text(raw, "jti"):
        extra[CREDENTIAL_ID] = (f"JTI={_text(raw, 'jti')}",)
    if node is not None and node[0]:
        extra[NODE_NAME] = (node[0],)
        if node[1]:
            extra[NODE_UID] = (node[1],)
    return Claims(
        User(username(namespace, name), uid, group_names(namespace), extra),
        _audiences(raw),
        _number(raw, "iat"),
        _number(raw, "nbf"),
        _number(raw, "exp"),
        tuple(bound),
        _number(private, "warnafter"),
    )


def _legacy_claims(raw: Mapping[str, Any]) -> Claims:
    """The claims of a token from a secret of type kubernetes.io/service-account-token."""
    base = "kubernetes.io/serviceaccount"
    names = {
        "sub": "sub",
        "namespace": f"{base}/namespace",
        "secretName": f"{base}/secret.name",
        "serviceAccountName": f"{base}/service-account.name",
        "serviceAccountUID": f"{base}/service-account.uid",
    }
    found = {name: _text(raw, claim) for name, claim in names.items()}
    for name, value in found.items():
        if not value:
            raise AuthenticationError(f"{name} claim is missing")
    subject, namespace, secret, name, uid = found.values()
    if split_username(subject) != (namespace, name):
        raise AuthenticationError("sub claim is invalid")
    return Claims(
        User(username(namespace, name), uid, group_names(namespace)),
        _audiences(raw),
        None,
        _number(raw, "nbf"),
        _number(raw, "exp"),
        (),
        legacy=((namespace, name), secret),
    )
