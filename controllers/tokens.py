"""Service-account tokens kept in Secrets (type kubernetes.io/service-account-token): filled in, and removed with the account.

Such tokens do not expire; new clients ask for a token instead (TokenRequest). The controller runs as the manager itself: it
writes Secrets everywhere and holds the signing key.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson

from apimachinery import meta
from apimachinery.errors import ApiError
from client.resources import SECRETS, SERVICE_ACCOUNTS
from controllers.base import OWN_ACCOUNT, Controller, Result, Retry, Rule, copy, ignoring_absence

Obj = dict[str, Any]

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
_ISSUER = "kubernetes/serviceaccount"


def claims(secret: Obj, account: Obj) -> Obj:
    """What a token kept in a Secret says."""
    namespace, name = meta.namespace(account), meta.name(account)
    return {
        "iss": _ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": meta.name(secret),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": meta.uid(account),
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def needed(secret: Obj, account: Obj, ca: str) -> tuple[bool, bool, bool, bool]:
    """Whether the account's uid, the CA, the namespace and the token are to be filled in."""
    data = secret.get("data") or {}
    return (
        meta.annotations(secret).get(UID) != meta.uid(account),
        bool(ca) and data.get("ca.crt") != ca,
        not data.get("namespace"),
        not data.get("token"),
    )


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def load_signer(path: Path) -> Callable[[Obj], str]:
    """A function that signs claims into a JWT with the key in that file (RSA or ECDSA). OSError, ValueError."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: neither an RSA nor an ECDSA key")
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    bits = 0 if isinstance(key, rsa.RSAPrivateKey) else key.curve.key_size
    algorithm = {0: "RS256", 256: "ES256", 384: "ES384", 521: "ES512"}[bits]
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[2:]]
    head = _url64(orjson.dumps({"alg": algorithm, "kid": _url64(hashlib.sha256(public).digest())}))

    def sign(content: Obj) -> str:
        signed = f"{head}.{_url64(orjson.dumps(content))}".encode("ascii")
        if isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(signed, padding.PKCS1v15(), digest)
        else:
            r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
            size = (bits + 7) // 8
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return f"{signed.decode('ascii')}.{_url64(signature)}"

    return sign


class TokensController(Controller):
    name = "serviceaccount-token-controller"
    aliases = ("serviceaccount-token",)
    source = "serviceaccount-token-controller"
    account = OWN_ACCOUNT
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("",), ("secrets",), ("create", "delete", "get", "update")),
        Rule(("",), ("serviceaccounts",), ("get",)),
    )
    workers = 5

    def setup(self) -> None:
        self._sign: Callable[[Obj], str] | None = None
        self._ca = ""
        self._accounts = self.watch(SERVICE_ACCOUNTS)
        self._secrets = self.watch(
            SECRETS,
            field_selector=f"type={TYPE}",
            added=self.enqueue_object,
            updated=lambda old, new: self.enqueue_object(new),
        )
        self._accounts.add_handler(added=self._account_changed, deleted=self._account_changed)

    def _account_changed(self, account: Obj) -> None:
        for secret in self._secrets.list(meta.namespace(account)):
            if meta.annotations(secret).get(NAME) == meta.name(account):
                self.enqueue_object(secret)

    async def _load(self) -> None:
        config = self.config
        if self._sign is None and config.service_account_private_key_file is not None:
            self._sign = await asyncio.to_thread(load_signer, config.service_account_private_key_file)
        if not self._ca and config.root_ca_file is not None:
            self._ca = base64.b64encode(await asyncio.to_thread(config.root_ca_file.read_bytes)).decode()

    async def reconcile(self, key: str) -> Result | None:
        secret = self._secrets.get(key)
        if secret is None or meta.deleting(secret) or self.config.service_account_private_key_file is None:
            return None
        await self._load()
        account = await self._account_of(secret)
        if account is None:
            name, namespace = meta.name(secret), meta.namespace(secret)
            await ignoring_absence(self.client.delete(SECRETS, name, namespace, uid=meta.uid(secret)))
            return None
        if any(needed(secret, account, self._ca)):
            await self._fill(secret, account)
        return None

    async def _account_of(self, secret: Obj) -> Obj | None:
        """The account that the Secret names, by the server's latest word before it is taken as gone."""
        annotations = meta.annotations(secret)
        name = annotations.get(NAME) or ""
        account = self._accounts.find(meta.namespace(secret), name)
        if account is None and name:
            account = await ignoring_absence(self.client.get(SERVICE_ACCOUNTS, name, meta.namespace(secret)))
        if account is None:
            return None
        told = annotations.get(UID)
        return account if told in (None, "", meta.uid(account)) else None

    async def _fill(self, secret: Obj, account: Obj) -> None:
        latest = await ignoring_absence(self.client.get(SECRETS, meta.name(secret), meta.namespace(secret)))
        if latest is None or meta.uid(latest) != meta.uid(secret):
            return
        uid, ca, namespace, token = needed(latest, account, self._ca)
        changed = copy(latest)
        data = changed.setdefault("data", None) or {}
        if uid:
            changed["metadata"].setdefault("annotations", {})[UID] = meta.uid(account)
        if ca:
            data["ca.crt"] = self._ca
        if namespace:
            data["namespace"] = base64.b64encode(meta.namespace(secret).encode()).decode()
        if token and self._sign is not None:
            signed = await asyncio.to_thread(self._sign, claims(latest, account))
            data["token"] = base64.b64encode(signed.encode()).decode()
        changed["data"] = data
        try:
            await ignoring_absence(self.client.update(SECRETS, changed))
        except ApiError as error:
            if error.reason == "Conflict":
                raise Retry("the secret was changed meanwhile") from error
            raise
