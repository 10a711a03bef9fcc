"""What authentication can be told, under the names that kube-apiserver's flags have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Config:
    """Each field is the flag of the same name. Paths must exist and parse: anything else is an error at start."""

    client_ca_file: Path | None = None
    # PEM bundle; client certificates that chain to it identify users (CN = name, O = groups). None: no certificates.
    token_auth_file: Path | None = None
    # CSV: token,user,uid,"group1,group2". Read once at start. None: no static tokens.
    anonymous_auth: bool = True
    # Requests without credentials become system:anonymous; RBAC then lets them read health and version only.
    enable_bootstrap_token_auth: bool = False
    # Secrets of type bootstrap.kubernetes.io/token in kube-system are bearer tokens.
    service_account_issuer: Sequence[str] = ("https://kubernetes.default.svc.cluster.local",)
    # The first signs new tokens, all are accepted.
    service_account_key_file: Sequence[Path] = ()
    # PEM public (or private) keys that verify service account tokens; empty: the signing key's public half.
    service_account_signing_key_file: Path | None = None
    # PEM private key (ECDSA or RSA) that signs tokens; None: the token subresource answers 404, as without the flag.
    service_account_max_token_expiration: float = 0
    # Seconds; longer requests are cut to it. 0: no limit but the API's own.
    service_account_extend_token_expiration: bool = True
    # Tokens of the kube-api-access volume (3607 s) really live a year, as clients of old never reload them.
    service_account_lookup: bool = True
    # A token dies with its service account, pod, secret or node.
    service_account_jwks_uri: str = ""
    # jwks_uri in the discovery document; "": <external address>/openid/v1/jwks.
    api_audiences: Sequence[str] = ()
    # Audiences this server answers to; empty: the issuers.
    requestheader_client_ca_file: Path | None = None
    # CA of the front proxies whose X-Remote-* headers are believed. None: nobody's are.
    requestheader_allowed_names: Sequence[str] = ()
    # Common names a front proxy's certificate may have; empty: any that the CA signed.
    requestheader_username_headers: Sequence[str] = ("X-Remote-User",)
    requestheader_uid_headers: Sequence[str] = ()
    requestheader_group_headers: Sequence[str] = ("X-Remote-Group",)
    requestheader_extra_headers_prefix: Sequence[str] = ("X-Remote-Extra-",)
    # Where a front proxy puts the identity.
