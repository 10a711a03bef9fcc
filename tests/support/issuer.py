"""An OpenID Connect issuer for tests: discovery, keys, and endpoints of distributed claims over TLS, and tokens it signs.

async with issuing(folder) as issuer:
    token = issuer.token(sub="jane", aud="client")          signed by its current key, good for an hour
    issuer.rotate()                                         a new key; the old one is no longer told
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support import servers

_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: dict[str, tuple[ec.EllipticCurve, str]] = {
    "ES256": (ec.SECP256R1(), "P-256"),
    "ES384": (ec.SECP384R1(), "P-384"),
    "ES512": (ec.SECP521R1(), "P-521"),
}
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class Key:
    kid: str
    algorithm: str
    private: Private

    @classmethod
    def make(cls, kid: str, algorithm: str = "ES256") -> Key:
        if algorithm in _CURVES:
            return cls(kid, algorithm, ec.generate_private_key(_CURVES[algorithm][0]))
        return cls(kid, algorithm, rsa.generate_private_key(65537, 2048))

    def jwk(self) -> dict[str, str]:
        named = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if isinstance(self.private, rsa.RSAPrivateKey):
            public = self.private.public_key().public_numbers()
            return {"kty": "RSA", "n": number(public.n), "e": number(public.e), **named}
        curve, name = _CURVES[self.algorithm]
        point = self.private.public_key().public_numbers()
        size = (curve.key_size + 7) // 8
        return {"kty": "EC", "crv": name, "x": number(point.x, size), "y": number(point.y, size), **named}

    def signature(self, signed: bytes) -> bytes:
        digest = _HASHES[self.algorithm[2:]]
        if isinstance(self.private, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            return self.private.sign(signed, pss if self.algorithm[0] == "P" else padding.PKCS1v15(), digest)
        size = (self.private.curve.key_size + 7) // 8
        r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@dataclass
class Issuer:
    """url: what tokens say. authority: PEM of the CA of its certificate. fetches: requests by path. status: what it answers
    instead of 200, for all paths. claims: tokens of distributed claims by name, served at /claims/<name> to who has `secret`."""

    url: str = ""
    authority: str = ""
    keys: list[Key] = field(default_factory=lambda: [Key.make("k1")])
    fetches: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    secret: str = "claims-secret"
    status: int = 200

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        self.fetches[path] = self.fetches.get(path, 0) + 1
        if self.status != 200:
            return web.Response(status=self.status, text="down")
        if path.endswith("/.well-known/openid-configuration"):
            return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **self.document})
        if path.endswith("/jwks"):
            return web.json_response({"keys": [key.jwk() for key in self.keys]}, headers=self.headers)
        name = path.rpartition("/")[2]
        if name in self.claims and request.headers.get("Authorization") == f"Bearer {self.secret}":
            return web.Response(text=self.claims[name])
        return web.Response(status=404)

    def rotate(self, algorithm: str = "ES256") -> None:
        self.keys = [Key.make(f"{self.keys[0].kid}+", algorithm)]

    def token(self, *, key: Key | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Claims that are None are left out."""
        key = key or self.keys[0]
        now = int(time.time())
        told = {"iss": self.url, "sub": "jane", "aud": "client", "iat": now, "exp": now + 3600, **claims}
        payload = {name: value for name, value in told.items() if value is not None}
        head = {"alg": key.algorithm, "kid": key.kid, **(header or {})}
        signed = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(payload).encode())}"
        return f"{signed}.{encode(key.signature(signed.encode()))}"


@asynccontextmanager
async def issuing(folder: Path, *algorithms: str) -> AsyncIterator[Issuer]:
    """An issuer with a key of each algorithm (ES256 if none are given)."""
    issuer = Issuer(keys=[Key.make(f"k{at}", name) for at, name in enumerate(algorithms or ("ES256",))])
    async with servers.listening(folder, issuer.answer) as listener:
        issuer.url = f"https://127.0.0.1:{listener.port}"
        issuer.authority = base64.b64decode(listener.bundle).decode()
        yield issuer
