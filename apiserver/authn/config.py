"""What authentication can be told, under the names that kube-apiserver's flags have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Config:
    """Each field is the flag of the same name. Paths must exist and parse: anything else is an error at start."""

    client_ca_file: Path | None = None
    # PEM bundle; client certificates that chain to it identify users (CN = name, O = groups). Read again when it changes.
    # None: no certificates.
    token_auth_file: Path | None = None
    # CSV: token,user,uid,"group1,group2". Read once at start. None: no static tokens.
    anonymous_auth: bool | None = None
    # Requests without credentials become system:anonymous; RBAC then lets them read health and version only. Not told: true,
    # or what --authentication-config says.
    authentication_config: Path | None = None
    # AuthenticationConfiguration (apiserver.config.k8s.io/v1): issuers whose JSON web tokens identify users, and for which paths
    # requests need no credentials. Read again when it changes. None: what the flags say.
    oidc_issuer_url: str = ""
    # https URL of an OpenID Connect issuer whose tokens identify users. Not beside
    # --authentication-config.
    oidc_client_id: str = ""
    # The audience that its tokens must be for. Required with the issuer.
    oidc_username_claim: str = "sub"
    # The claim that names the user.
    oidc_username_prefix: str = ""
    # What is put before it; "-": nothing. "": the issuer's URL and #, for claims other than email.
    oidc_groups_claim: str = ""
    # The claim with the groups, a string or a list of them. "": no groups.
    oidc_groups_prefix: str = ""
    # What is put before each group.
    oidc_signing_algs: Sequence[str] = ("RS256",)
    # Algorithms that tokens may be signed with: RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512.
    oidc_required_claim: Mapping[str, str] = field(default_factory=dict, metadata={"split": False})
    # claim=value that tokens must have, commas and all; repeat it for several.
    oidc_ca_file: Path | None = None
    # PEM bundle of the issuer's CA. None: the machine's.
    authentication_token_webhook_config_file: Path | None = None
    # Kubeconfig of a server that is asked, with a TokenReview, whose a bearer token is. None: nobody is asked.
    authentication_token_webhook_version: str = "v1beta1"
    # Version of that TokenReview: v1 or v1beta1.
    authentication_token_webhook_cache_ttl: float = 120
    # Seconds for which its answers are remembered. 0: they are not.
    enable_bootstrap_token_auth: bool = False
    # Secrets of type bootstrap.kubernetes.io/token in kube-system are bearer tokens.
    service_account_issuer: Sequence[str] = ("https://kubernetes.default.svc.cluster.local",)
    # The first signs new tokens, all are accepted.
    service_account_key_file: Sequence[Path] = ()
    # PEM public (or private) keys that verify service account tokens; empty: the signing key's public half.
    service_account_signing_key_file: Path | None = None
    # PEM private key (ECDSA or RSA) that signs tokens; None: the token subresource answers 404, as without the flag.
    service_account_max_token_expiration: float = 0
    # Seconds, 3600 at least; longer requests are cut to it. 0: no limit but the API's own.
    service_account_extend_token_expiration: bool = True
    # Tokens of the kube-api-access volume (3607 s) really live a year, as clients of old never reload them; the maximum above
    # does not concern them.
    service_account_lookup: bool = True
    # A token dies with its service account, pod, secret or node.
    service_account_jwks_uri: str = ""
    # jwks_uri in the discovery document; "": <external address>/openid/v1/jwks.
    api_audiences: Sequence[str] = ()
    # Audiences this server answers to; empty: the issuers.
    requestheader_client_ca_file: Path | None = None
    # CA of the front proxies whose X-Remote-* headers are believed. Read again when it changes. None: nobody's are.
    requestheader_allowed_names: Sequence[str] = ()
    # Common names a front proxy's certificate may have; empty: any that the CA signed.
    requestheader_username_headers: Sequence[str] = ("X-Remote-User",)
    requestheader_uid_headers: Sequence[str] = ()
    requestheader_group_headers: Sequence[str] = ("X-Remote-Group",)
    requestheader_extra_headers_prefix: Sequence[str] = ("X-Remote-Extra-",)
    # Where a front proxy puts the identity.
