"""Puts the authenticators together, as the flags and the AuthenticationConfiguration say; checks that both agree."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.x509 import Certificate

from apimachinery import filewatch
from apimachinery.clock import Clock, RealClock
from apimachinery.field import go_quote
from apiserver.authn import (
    bootstraptokens,
    frontproxy,
    jose,
    serviceaccounts,
    tokenfile,
    webhook,
    x509,
)
from apiserver.authn import issuer as issuing
from apiserver.authn.anonymous import AnonymousAuthenticator
from apiserver.authn.base import RequestAuthenticator, TokenAuthenticator
from apiserver.authn.bearer import BearerAuthenticator
from apiserver.authn.config import Config
from apiserver.authn.metrics import AuthenticationMetrics
from apiserver.authn.oidc import configuration as configurations
from apiserver.authn.oidc import validation
from apiserver.authn.oidc.configuration import Anonymous, Configuration
from apiserver.authn.oidc.reload import JwtAuthenticators
from apiserver.authn.service import Authentication, Work
from apiserver.authn.tokencache import TokenCache
from apiserver.configscheme import ConfigError, aggregate
from apiserver.registry.kind import NotifyingReader, Writer

log = logging.getLogger(__name__)

_LEAST_SECONDS = 3600  # that tokens may be limited to
_CACHE_SECONDS = 10.0  # for which a token of another issuer is not looked at again


def build(config: Config, reader: NotifyingReader, clock: Clock, writer: Writer | None = None) -> Authentication:
    """See apiserver/authn/__init__.py. Certificates go by the machine's own time, as TLS does."""
    _check(config)
    metrics = AuthenticationMetrics(clock, _identity())
    issuers = tuple(config.service_account_issuer)
    audiences = tuple(config.api_audiences) or issuers
    signer = _signer(config)
    keys = _keys(config, signer)
    configuration, raw = configurations.load(config)
    anonymous = _anonymous(config, configuration)
    work: dict[str, Work] = {}
    tokens: list[TokenAuthenticator] = []
    closers: list[Callable[[], Awaitable[None]]] = []
    if config.token_auth_file is not None:
        users = tokenfile.read_csv(config.token_auth_file)
        tokens.append(tokenfile.TokenFileAuthenticator(users, audiences, metrics))
    if keys:
        tokens.append(
            serviceaccounts.ServiceAccountAuthenticator(
                issuers=issuers,
                keys=keys,
                api_audiences=audiences,
                lookup=config.service_account_lookup,
                reader=reader,
                writer=writer,
                clock=clock,
                metrics=metrics,
            )
        )
    if config.enable_bootstrap_token_auth:
        tokens.append(bootstraptokens.BootstrapTokenAuthenticator(audiences, reader, clock))
    # Other issuers come after service accounts: a token that they do not know may make them fetch keys.
    if configuration.jwt or raw is not None:
        issued = _issuers(config, configuration, raw, audiences, clock, metrics, work)
        closers.append(issued.close)
        tokens.append(issued)
    if config.authentication_token_webhook_config_file is not None:
        asked = webhook.WebhookAuthenticator(
            config.authentication_token_webhook_config_file,
            config.authentication_token_webhook_version,
            audiences,
            clock,
        )
        seconds = config.authentication_token_webhook_cache_ttl
        answers = TokenCache(asked, clock, metrics, success=seconds, failure=seconds, errors=False)
        closers += [answers.close, asked.close]
        tokens.append(answers)
    bearer = BearerAuthenticator(tokens)
    return Authentication(
        authenticators=[*_certificates(config, clock, metrics, work), bearer],
        bearer=bearer,
        anonymous=anonymous,
        api_audiences=audiences,
        issuer=_token_issuer(config, signer, audiences, reader, clock),
        issuer_url=issuers[0] if issuers else "",
        jwks_uri=config.service_account_jwks_uri,
        keys=keys,
        clock=clock,
        metrics=metrics,
        work=work,
        closers=closers,
    )


def _check(config: Config) -> None:
    """Combinations of flags that the original refuses. ConfigError."""
    problems = []
    seen: set[str] = set()
    for issuer in config.service_account_issuer:
        if not issuer:
            problems.append("service-account-issuer should not be an empty string")
        elif issuer in seen:
            problems.append(f"service-account-issuer {go_quote(issuer)} is already specified")
        seen.add(issuer)
    uri = config.service_account_jwks_uri
    if uri and urlsplit(uri).scheme != "https":
        problems.append(f"service-account-jwks-uri requires https scheme, parsed as: {uri}")
    longest = config.service_account_max_token_expiration
    if longest and not _LEAST_SECONDS <= longest <= issuing.MAX_SECONDS:
        problems.append("the service-account-max-token-expiration must be between 1 hour and 2^32 seconds")
    if config.client_ca_file and config.requestheader_client_ca_file and not config.requestheader_allowed_names:
        known = x509.load_bundle(config.client_ca_file)
        if any(authority in known for authority in x509.load_bundle(config.requestheader_client_ca_file)):
            problems.append(
                "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; "
                "--requestheader-allowed-names must be specified to ensure regular client certificates cannot set "
                "authenticating proxy headers for arbitrary users"
            )
    if problems:
        raise ConfigError(aggregate(problems))


def _anonymous(config: Config, configuration: Configuration) -> AnonymousAuthenticator:
    told = configuration.anonymous
    if told is not None and config.anonymous_auth is not None:
        text = "--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file"
        raise ConfigError(f"anonymous: Forbidden: {text}")
    problems = validation.check(configuration, ())
    if problems:
        raise ConfigError(f"invalid authentication configuration: {aggregate(problems)}")
    told = told or Anonymous(config.anonymous_auth is not False)
    return AnonymousAuthenticator(told.enabled, told.paths)


def _issuers(
    config: Config,
    configuration: Configuration,
    raw: bytes | None,
    audiences: Sequence[str],
    clock: Clock,
    metrics: AuthenticationMetrics,
    work: dict[str, Work],
) -> TokenCache:
    issuers = JwtAuthenticators(
        configuration,
        raw,
        path=config.authentication_config,
        disallowed=config.service_account_issuer,
        api_audiences=audiences,
        clock=clock,
        metrics=metrics,
    )
    work["authentication-issuers"] = issuers.run
    cache = TokenCache(issuers, clock, metrics, success=_CACHE_SECONDS, failure=0, errors=True)
    issuers.changed = cache.clear
    return cache


def _certificates(
    config: Config, clock: Clock, metrics: AuthenticationMetrics, work: dict[str, Work]
) -> list[RequestAuthenticator]:
    """Front proxy and client certificates, and what follows the files of their CAs."""
    authenticators: list[RequestAuthenticator] = []
    if config.requestheader_client_ca_file is not None:
        proxy = frontproxy.FrontProxyAuthenticator(
            x509.load_bundle(config.requestheader_client_ca_file),
            allowed_names=config.requestheader_allowed_names,
            username_headers=config.requestheader_username_headers,
            uid_headers=config.requestheader_uid_headers,
            group_headers=config.requestheader_group_headers,
            extra_prefixes=config.requestheader_extra_headers_prefix,
            clock=RealClock(),
        )
        authenticators.append(proxy)
        work["request-header-ca"] = _following(config.requestheader_client_ca_file, clock, proxy.trust)
    if config.client_ca_file is not None:
        certificates = x509.CertificateAuthenticator(x509.load_bundle(config.client_ca_file), RealClock(), metrics)
        authenticators.append(certificates)
        work["client-ca"] = _following(config.client_ca_file, clock, certificates.trust)
    return authenticators


def _following(path: Path, clock: Clock, trust: Callable[[Sequence[Certificate]], None]) -> Work:
    """Work that tells of another bundle in the file."""
    file = filewatch.WatchedFile(path)

    async def reload() -> None:
        trust(x509.parse_bundle(file.content))

    return lambda: filewatch.watch(clock, [file], reload, at_once=True)


def _signer(config: Config) -> jose.Signer | None:
    if config.service_account_signing_key_file is None:
        return None
    if not config.service_account_issuer:
        raise ConfigError("service-account-issuer is a required flag, --service-account-issuer must be specified")
    return jose.Signer.load(config.service_account_signing_key_file)


def _keys(config: Config, signer: jose.Signer | None) -> list[jose.Key]:
    keys = [key for path in config.service_account_key_file for key in jose.load_public(path)]
    if signer is not None and all(key.kid != signer.key.kid for key in keys):
        if config.service_account_key_file:
            log.warning("the service account signing key is not among the keys that verify tokens; adding it")
        keys.insert(0, signer.key)
    return keys


def _token_issuer(
    config: Config, signer: jose.Signer | None, audiences: Sequence[str], reader: NotifyingReader, clock: Clock
) -> issuing.TokenIssuer | None:
    if signer is None:
        return None
    return issuing.TokenIssuer(
        signer,
        issuer=config.service_account_issuer[0],
        api_audiences=audiences,
        max_expiration=config.service_account_max_token_expiration,
        extend_expiration=config.service_account_extend_token_expiration,
        reader=reader,
        clock=clock,
    )


def _identity() -> str:
    """Which of several API servers this one is, as the original derives it from the name of the machine."""
    parts = (socket.gethostname().encode(), b"kube-apiserver")
    digest = hashlib.sha256(b"".join(len(part).to_bytes(2, "big") + part for part in parts)).digest()[:16]
    return "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()
