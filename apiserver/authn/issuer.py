"""Makes service account tokens: the TokenRequest API, and the documents by which others verify tokens.

Called by the token subresource of service accounts. A request is checked as the original's: the bound object must exist
and, for a pod, run under that account; the lifetime has limits; the audiences default to the API server's.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from apimachinery import errors, field, times
from apimachinery.clock import Clock
from apimachinery.gvk import split_api_version
from apiserver.authn import jose
from apiserver.authn.serviceaccounts import username
from apiserver.registry.kind import Obj, Reader

GROUP = "authentication.k8s.io"
WARN_ONLY_SECONDS = 60 * 60 + 7  # what ServiceAccount admission asks for: recognised here, and extended
EXTENSION_SECONDS = 24 * 365 * 60 * 60
DEFAULT_SECONDS = 60 * 60
MIN_SECONDS = 10 * 60
MAX_SECONDS = 1 << 32


class TokenIssuer:
    """Signs tokens for one issuer."""

    def __init__(
        self,
        signer: jose.Signer,
        *,
        issuer: str,
        api_audiences: Sequence[str],
        max_expiration: float,
        extend_expiration: bool,
        reader: Reader,
        clock: Clock,
    ) -> None:
        self._signer = signer
        self._issuer = issuer
        self._api_audiences = list(api_audiences)
        self._max = int(max_expiration)
        self._extend = extend_expiration
        self._reader = reader
        self._clock = clock

    @property
    def key(self) -> jose.Key:
        return self._signer.key

    async def token_request(
        self,
        namespace: str,
        name: str,
        request: Obj,
        *,
        warnings: list[str],
        annotations: dict[str, str] | None = None,
        validate: Callable[[], Awaitable[None]] | None = None,
    ) -> Obj:
        """The TokenRequest with its status, for a POST to serviceaccounts/<name>/token.

        validate: admission's second half, asked before anything is bound. Texts are appended to warnings, and which token it is
        to the audit annotations. ApiError: 404 (account or bound object), 400, 409 (uid of the account or bound object), 422.
        """
        request = _checked_names(request, namespace, name)
        account = await self._get("serviceaccounts", namespace, name)
        meta, uid = request["metadata"], account["metadata"].get("uid", "")
        if meta.get("uid") and meta["uid"] != uid:
            raise errors.conflict(
                GROUP,
                "TokenRequest",
                name,
                f"the UID in the token request ({meta['uid']}) does not match the UID of the service account ({uid})",
            )
        spec = request.setdefault("spec", {})
        if not spec.get("audiences"):
            spec["audiences"] = list(self._api_audiences)
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = DEFAULT_SECONDS
        now = self._clock.time()
        meta.update(name=name, namespace=namespace, uid=uid, creationTimestamp=times.format_time(now))
        request["status"] = {"token": "", "expirationTimestamp": None}
        _validate(spec)
        if validate is not None:
            await validate()
        bound = await self._bound(namespace, name, spec.get("boundObjectRef"))
        if self._max > 0 and spec["expirationSeconds"] > self._max:
            warnings.append(
                f"requested expiration of {spec['expirationSeconds']} seconds shortened to {self._max} seconds"
            )
            spec["expirationSeconds"] = self._max
        lifetime, warn_after = spec["expirationSeconds"], 0
        if self._extend and "pod" in bound and lifetime == WARN_ONLY_SECONDS and self._for_api(spec["audiences"]):
            warn_after, lifetime = lifetime, EXTENSION_SECONDS  # whatever the limit is, as by the original
        identity = str(uuid.uuid4())
        token = self._sign(account, bound, spec["audiences"], now, lifetime, warn_after, identity)
        request["status"] = {
            "token": token,
            "expirationTimestamp": times.format_time(now + spec["expirationSeconds"]),
        }
        if annotations is not None:
            annotations["authentication.kubernetes.io/issued-credential-id"] = f"JTI={identity}"
        return request

    def _for_api(self, audiences: Sequence[str]) -> bool:
        return all(audience in self._api_audiences for audience in audiences)

    async def _get(self, plural: str, namespace: str | None, name: str) -> Obj:
        obj = await self._reader.get("", plural, namespace, name)
        if obj is None:
            raise errors.not_found("", plural, name)
        return obj

    async def _bound(self, namespace: str, account: str, ref: Obj | None) -> dict[str, dict[str, str]]:
        """The private claims that name what a token is bound to."""
        if ref is None:
            return {}
        group, version = split_api_version(ref.get("apiVersion") or "")
        kind, name = ref.get("kind") or "", ref.get("name") or ""
        plural = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}.get(kind) if not group else None
        if plural is None:
            shown = f"{group}/{version}, Kind={kind}"
            raise errors.bad_request(f"cannot bind token to object of type {shown}")
        obj = await self._get(plural, None if plural == "nodes" else namespace, name)
        claims = {kind.lower(): _ref(obj)}
        if plural == "pods":
            if (obj.get("spec") or {}).get("serviceAccountName", "") != account:
                raise errors.bad_request(
                    f"cannot bind token for serviceaccount {field.go_quote(account)} to pod running with different "
                    "serviceaccount name."
                )
            node_name = obj["spec"].get("nodeName")
            if node_name:
                node = await self._reader.get("", "nodes", None, node_name)
                claims["node"] = _ref(node) if node is not None else {"name": node_name}
        uid = obj["metadata"].get("uid", "")
        if ref.get("uid") and ref["uid"] != uid:
            raise errors.conflict(
                group,
                kind,
                name,
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        return claims

    def _sign(
        self,
        account: Obj,
        bound: dict[str, dict[str, str]],
        audiences: Sequence[str],
        now: float,
        lifetime: int,
        warn_after: int,
        identity: str,
    ) -> str:
        issued = math.floor(now)
        namespace = account["metadata"]["namespace"]
        private: dict[str, Any] = {"namespace": namespace}
        for key in ("node", "pod", "secret"):
            if key in bound:
                private[key] = bound[key]
        private["serviceaccount"] = _ref(account)
        if warn_after:
            private["warnafter"] = issued + warn_after
        return self._signer.sign(
            {
                "aud": list(audiences),
                "exp": issued + lifetime,
                "iat": issued,
                "iss": self._issuer,
                "jti": identity,
                "kubernetes.io": private,
                "nbf": issued,
                "sub": username(namespace, account["metadata"]["name"]),
            }
        )


def _ref(obj: Obj) -> dict[str, str]:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"].get("uid", "")}


def _checked_names(request: Obj, namespace: str, name: str) -> Obj:
    meta = request.setdefault("metadata", {}) or {}
    request["metadata"] = meta
    problems = []
    if meta.get("name") and meta["name"] != name:
        text = "must match the service account name if specified"
        problems.append(field.invalid("metadata.name", meta["name"], text))
    if meta.get("namespace") and meta["namespace"] != namespace:
        text = "must match the service account namespace if specified"
        problems.append(field.invalid("metadata.namespace", meta["namespace"], text))
    if problems:
        raise errors.invalid(GROUP, "TokenRequest", name, problems)
    return request


def _validate(spec: Obj) -> None:
    seconds = spec["expirationSeconds"]
    path, problem = "spec.expirationSeconds", None
    if seconds < MIN_SECONDS:
        problem = field.invalid(path, seconds, "may not specify a duration less than 10 minutes")
    elif seconds > MAX_SECONDS:
        problem = field.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")
    if problem:
        raise errors.invalid(GROUP, "TokenRequest", "", [problem])


def jwks(keys: Sequence[jose.Key]) -> Obj:
    """/openid/v1/jwks"""
    return {"keys": [key.jwk() for key in keys]}


def openid_configuration(issuer: str, jwks_uri: str, keys: Sequence[jose.Key]) -> Obj:
    """/.well-known/openid-configuration"""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys}),
    }
