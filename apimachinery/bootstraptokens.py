"""Bootstrap tokens: how a machine that is not a node yet proves that it may become one, and how it knows the cluster.

A token is `<id>.<secret>`; its Secret is kube-system/bootstrap-token-<id>. With the secret the cluster signs the kubeconfig in
the ConfigMap kube-public/cluster-info (a detached JWS, RFC 7515 appendix F, HS256), so that whoever knows the token can
tell that it comes from this cluster. Pure; used by controllers, the API server and `steersman token` and `--join`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Mapping
from typing import Any

from apimachinery import times

Obj = dict[str, Any]

SECRET_TYPE = "bootstrap.kubernetes.io/token"
SECRET_NAMESPACE = "kube-system"
SECRET_PREFIX = "bootstrap-token-"
CLUSTER_INFO = "cluster-info"
CLUSTER_INFO_NAMESPACE = "kube-public"
KUBECONFIG_KEY = "kubeconfig"
SIGNATURE_PREFIX = "jws-kubeconfig-"
USAGES = ("signing", "authentication")
DEFAULT_GROUP = "system:bootstrappers"

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_ID = re.compile(r"[a-z0-9]{6}")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_ALPHABET = string.digits + string.ascii_lowercase


def generate() -> str:
    """A new random token."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(22))
    return f"{letters[:6]}.{letters[6:]}"


def split(token: str) -> tuple[str, str] | None:
    """(id, secret) of a token, None for what is none."""
    match = _TOKEN.fullmatch(token)
    return (match[1], match[2]) if match else None


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def is_group(text: str) -> bool:
    """Whether tokens may carry that group besides system:bootstrappers."""
    return _GROUP.fullmatch(text) is not None


def texts(secret: Mapping[str, Any]) -> dict[str, str]:
    """The Secret's data, decoded; what is no text is left out."""
    found = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (ValueError, TypeError):
            continue
    return found


def expires_at(data: Mapping[str, str]) -> float | None:
    """When the token ends, in seconds since the epoch; None: never. A time that does not parse has passed."""
    expiration = data.get("expiration")
    if not expiration:
        return None
    try:
        return times.parse_time(expiration)
    except ValueError:
        return 0.0


def expired(data: Mapping[str, str], now: float) -> bool:
    end = expires_at(data)
    return end is not None and end <= now


def signing_secret(secret: Mapping[str, Any], now: float) -> tuple[str, str] | None:
    """(id, secret) of a Secret whose token may sign cluster-info now, else None."""
    if secret.get("type") != SECRET_TYPE:
        return None
    data = texts(secret)
    token_id, token_secret = data.get("token-id", ""), data.get("token-secret", "")
    if not token_secret or secret["metadata"]["name"] != SECRET_PREFIX + token_id or not is_id(token_id):
        return None
    if expired(data, now) or data.get("usage-bootstrap-signing") != "true":
        return None
    return token_id, token_secret


def sign(content: str, token_id: str, token_secret: str) -> str:
    """The detached signature of a text: `<header>..<signature>`."""
    header = _encoded(f'{{"alg":"HS256","kid":"{token_id}"}}'.encode())
    signed = f"{header}.{_encoded(content.encode())}".encode()
    return f"{header}..{_encoded(hmac.new(token_secret.encode(), signed, hashlib.sha256).digest())}"


def is_signed(content: str, signature: str, token_id: str, token_secret: str) -> bool:
    """Whether that is the text's signature by that token."""
    return hmac.compare_digest(sign(content, token_id, token_secret).encode(), signature.encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
