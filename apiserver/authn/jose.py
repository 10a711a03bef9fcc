"""JSON web tokens: compact JWS, signed with RSA or ECDSA keys, and key sets.

Our own keys (service accounts) are each for one algorithm: the key decides, never the token. Keys of other issuers (Foreign)
verify what their kind can, if the caller allows the algorithm. Either way a header that names another one ("none", "HS256" with
a public key as its secret) is refused. Nothing of a token is believed before its signature is checked, except the issuer, which
only decides whether it is looked at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_MAX_TOKEN = 64 * 1024  # characters; ours have about 1,200, those of other issuers may list hundreds of groups
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9_-]")
_CURVES = {
    "secp256r1": ("ES256", "P-256", 32),
    "secp384r1": ("ES384", "P-384", 48),
    "secp521r1": ("ES512", "P-521", 66),
}
_SHA: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_HASHES = {f"{family}{size}": digest for family in ("ES", "RS", "PS") for size, digest in _SHA.items()}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class BadToken(Exception):
    """The text is no token, or its signature is not by a known key."""


class Malformed(BadToken):
    """The text is no token."""


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Unpadded base64url; raises BadToken for anything else, padded or with stray characters."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, UnicodeEncodeError) as error:
        raise _illegal(text) from error
    if encode(data) != text:
        raise _illegal(text)
    return data


def _illegal(text: str) -> BadToken:
    wrong = _NOT_BASE64.search(text)
    return BadToken(f"illegal base64 data at input byte {wrong.start() if wrong else len(text)}")


@dataclass(frozen=True, slots=True)
class Key:
    """A public key with its id (SHA-256 of its DER form, as the original derives it) and the one algorithm it is for."""

    public: PublicKey
    kid: str
    algorithm: str

    @classmethod
    def of(cls, public: PublicKey) -> Key:
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        kid = encode(hashlib.sha256(der).digest())
        if isinstance(public, rsa.RSAPublicKey):
            return cls(public, kid, "RS256")
        if public.curve.name not in _CURVES:
            raise ValueError(f"unsupported curve {public.curve.name}")
        return cls(public, kid, _CURVES[public.curve.name][0])

    def verify(self, signed: bytes, signature: bytes) -> bool:
        return check(self.public, self.algorithm, signed, signature)

    def jwk(self) -> dict[str, str]:
        """The key as an entry of a JSON web key set."""
        if isinstance(self.public, rsa.RSAPublicKey):
            numbers = self.public.public_numbers()
            return {
                "use": "sig",
                "kty": "RSA",
                "kid": self.kid,
                "alg": self.algorithm,
                "n": encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                "e": encode(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")),
            }
        _, curve, size = _CURVES[self.public.curve.name]
        point = self.public.public_numbers()
        return {
            "use": "sig",
            "kty": "EC",
            "kid": self.kid,
            "crv": curve,
            "alg": self.algorithm,
            "x": encode(point.x.to_bytes(size, "big")),
            "y": encode(point.y.to_bytes(size, "big")),
        }


def check(public: PublicKey, algorithm: str, signed: bytes, signature: bytes) -> bool:
    """Whether the signature is by that key, with an algorithm that is for keys of its kind."""
    digest = _HASHES[algorithm]
    try:
        if isinstance(public, rsa.RSAPublicKey):
            if algorithm.startswith("ES"):
                return False
            scheme = (
                padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
                if algorithm.startswith("PS")
                else padding.PKCS1v15()
            )
            public.verify(signature, signed, scheme, digest)
            return True
        name, _, size = _CURVES[public.curve.name]
        if name != algorithm or len(signature) != 2 * size:
            return False
        r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
    except (InvalidSignature, ValueError):  # ValueError: a key too small for the digest
        return False
    return True


@dataclass(frozen=True, slots=True)
class Foreign:
    """A key of another issuer's key set."""

    public: PublicKey
    kid: str


def parse_key_set(document: Any) -> list[Foreign]:
    """The keys of a JSON web key set that can verify what is allowed here. ValueError when one of them is malformed."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if entries is None:
        entries = []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("the key set holds no list of keys")
    keys = []
    for entry in entries:
        public = _foreign_key(entry)
        if public is not None:
            kid = entry.get("kid") or ""
            if not isinstance(kid, str):
                raise ValueError("json: cannot unmarshal number into Go struct field rawJSONWebKey.kid of type string")
            keys.append(Foreign(public, kid))
    return keys


def _foreign_key(entry: dict[str, Any]) -> PublicKey | None:
    """None for keys that are no public keys of signatures (secrets, and curves that no allowed algorithm is for)."""
    kind = entry.get("kty")
    try:
        if kind == "RSA":
            return rsa.RSAPublicNumbers(_number(entry, "e"), _number(entry, "n")).public_key()
        if kind == "EC":
            curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}.get(
                str(entry.get("crv"))
            )
            if curve is None:
                raise ValueError(f"go-jose/go-jose: unsupported elliptic curve '{entry.get('crv')}'")
            return ec.EllipticCurvePublicNumbers(_number(entry, "x"), _number(entry, "y"), curve).public_key()
    except BadToken as error:
        raise ValueError(f"illegal base64 data: {error}") from error
    if kind not in ("oct", "OKP"):
        raise ValueError(f"go-jose/go-jose: unknown json web key type '{kind or ''}'")
    return None


def _number(entry: dict[str, Any], name: str) -> int:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"go-jose/go-jose: invalid {entry.get('kty')} key, missing {name} value")
    return int.from_bytes(decode(value.rstrip("=")), "big")


def load_public(path: Path) -> list[Key]:
    """The keys of a PEM file: public keys, private keys (their public halves) and certificates. ValueError without any."""
    from cryptography import x509

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read key file {str(path)!r}: {error}") from error
    keys: list[Key] = []
    for block in _pem_blocks(data):
        public: Any
        try:
            if b"PRIVATE KEY" in block:
                public = serialization.load_pem_private_key(block, None).public_key()
            elif b"BEGIN CERTIFICATE" in block:
                public = x509.load_pem_x509_certificate(block).public_key()
            else:
                public = serialization.load_pem_public_key(block)
        except (ValueError, TypeError):
            continue
        if isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            keys.append(Key.of(public))
    if not keys:
        raise ValueError(f"data in {str(path)!r} does not contain any valid RSA or ECDSA public keys")
    return keys


def _pem_blocks(data: bytes) -> list[bytes]:
    blocks, current = [], None
    for line in data.splitlines(keepends=True):
        if line.startswith(b"-----BEGIN "):
            current = [line]
        elif current is not None:
            current.append(line)
            if line.startswith(b"-----END "):
                blocks.append(b"".join(current))
                current = None
    return blocks


class Signer:
    """Makes tokens with one private key."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        self.key = Key.of(private.public_key())
        self._header = encode(
            json.dumps({"alg": self.key.algorithm, "kid": self.key.kid}, separators=(",", ":")).encode()
        )

    @classmethod
    def load(cls, path: Path) -> Signer:
        """From a PEM file; ValueError when it holds no RSA or ECDSA private key."""
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"failed to parse service-account-signing-key-file {str(path)!r}: {error}") from error
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError(f"failed to parse service-account-signing-key-file {str(path)!r}: not an RSA or ECDSA key")
        return cls(private)

    def sign(self, claims: dict[str, Any]) -> str:
        signed = f"{self._header}.{encode(json.dumps(claims, separators=(',', ':')).encode())}"
        digest = _HASHES[self.key.algorithm]
        if isinstance(self._private, rsa.RSAPrivateKey):
            signature = self._private.sign(signed.encode(), padding.PKCS1v15(), digest)
        else:
            size = _CURVES[self._private.curve.name][2]
            r, s = decode_dss_signature(self._private.sign(signed.encode(), ec.ECDSA(digest)))
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return f"{signed}.{encode(signature)}"


def _object(data: bytes) -> dict[str, Any]:
    try:
        # As text: of bytes, UTF-16 and byte order marks would be understood.
        value = json.loads(data.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadToken("malformed JSON") from error
    if not isinstance(value, dict):
        raise BadToken("not a JSON object")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def peek_issuer(token: str) -> str | None:
    """The issuer that a token claims, unverified; None for what is no token."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MAX_TOKEN:
        return None
    try:
        issuer = _object(decode(parts[1])).get("iss")
    except BadToken:
        return None
    return issuer if isinstance(issuer, str) else None


@dataclass(frozen=True, slots=True)
class Signed:
    """A token taken apart. signed: the bytes that the signature is over; payload: the claims, unverified."""

    algorithm: str
    kid: str
    signed: bytes
    payload: bytes
    signature: bytes
    understood: bool  # its header demands nothing that is not known here

    def is_by(self, key: Foreign) -> bool:
        mine = self.understood and (not self.kid or self.kid == key.kid)
        return mine and check(key.public, self.algorithm, self.signed, self.signature)


def split(token: str) -> Signed:
    """Raises BadToken."""
    if len(token) > _MAX_TOKEN or token.count(".") != 2:
        raise BadToken("go-jose/go-jose: compact JWS format must have three parts")
    signed, _, signature_text = token.rpartition(".")
    header_text, _, payload = signed.partition(".")
    header = _object(decode(header_text))
    algorithm, kid = ("" if header.get(name) is None else header[name] for name in ("alg", "kid"))
    understood = "crit" not in header and header.get("b64", True) is True
    if not isinstance(algorithm, str) or not isinstance(kid, str):
        raise BadToken("the header's parameters have wrong types")
    return Signed(algorithm, kid, signed.encode("ascii"), decode(payload), decode(signature_text), understood)


def verify(token: str, keys: Sequence[Key]) -> dict[str, Any]:
    """The claims of a token signed by one of the keys. Raises BadToken. Times and audiences are the caller's to check."""
    try:
        parts = split(token)
    except BadToken as error:
        raise Malformed(str(error)) from error
    kid = parts.kid
    known = [key for key in keys if key.kid == kid] if kid else keys
    if not known:
        raise BadToken("invalid signature, no keys found")
    for key in known if parts.understood else ():
        if key.algorithm == parts.algorithm and key.verify(parts.signed, parts.signature):
            return _object(parts.payload)
    raise BadToken("go-jose/go-jose: error in cryptographic primitive")
