"""What authentication counts, under kube-apiserver's names. Labels are bounded: users are told apart only as far as it does.

One AuthenticationMetrics per server; server.py adds them to /metrics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from apimachinery.clock import Clock
from serving.metrics import Counter, Counts, Gauge, Histogram, Metric

SUCCESS, FAILURE, ERROR = ("success",), ("failure",), ("error",)
HIT, MISS = ("hit",), ("miss",)
_SECONDS = tuple(0.001 * 2**power for power in range(15))
_CACHE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_JWT_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_HOUR, _DAY = 3600, 86400
_LIVES = (
    0,
    _HOUR // 2,
    _HOUR,
    2 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    *(_DAY * days for days in (1, 2, 4, 7, 30, 90, 180, 360)),
)
_KNOWN_USERS = frozenset(("admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"))


class AuthenticationMetrics:
    """Counters of all authenticators. identity: of this API server, whose hash some metrics carry."""

    def __init__(self, clock: Clock, identity: str) -> None:
        self.clock = clock
        self.identity = sha256(identity)
        self.users = Counter(
            "authenticated_user_requests", "Counter of authenticated requests broken out by username.", ("username",)
        )
        self.seconds = Histogram(
            "authentication_duration_seconds",
            "Authentication duration in seconds broken out by result.",
            ("result",),
            _SECONDS,
        )
        self.attempts = Counts("authentication_attempts", "Counter of authenticated attempts.", self.seconds)
        self.cache_requests = Counter("authentication_token_cache_request_total", "", ("status",))
        self.cache_seconds = Histogram(
            "authentication_token_cache_request_duration_seconds", "", ("status",), _CACHE_SECONDS
        )
        self.cache_fetches = Counter("authentication_token_cache_fetch_total", "", ("status",))
        self.cache_active = Gauge("authentication_token_cache_active_fetch_count", "", ("status",))
        self.certificate_lives = Histogram(
            "apiserver_client_certificate_expiration_seconds",
            "Distribution of the remaining lifetime on the certificate used to authenticate a request.",
            (),
            _LIVES,
        )
        self.legacy_tokens = Counter(
            "serviceaccount_legacy_tokens_total", "Cumulative legacy service account tokens used"
        )
        self.manual_tokens = Counter(
            "serviceaccount_legacy_manual_token_uses_total", "Cumulative manually created legacy tokens used"
        )
        self.auto_tokens = Counter(
            "serviceaccount_legacy_auto_token_uses_total", "Cumulative auto-generated legacy tokens used"
        )
        self.invalid_tokens = Counter(
            "serviceaccount_invalid_legacy_auto_token_uses_total",
            "Cumulative invalid auto-generated legacy tokens used",
        )
        self.stale_tokens = Counter(
            "serviceaccount_stale_tokens_total", "Cumulative stale projected service account tokens used"
        )
        self.valid_tokens = Counter(
            "serviceaccount_valid_tokens_total", "Cumulative valid projected service account tokens used"
        )
        self.jwt_seconds = Histogram(
            "apiserver_authentication_jwt_authenticator_latency_seconds",
            "Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache "
            "miss only (i.e. when the token is not found in the cache).",
            ("result", "jwt_issuer_hash"),
            _JWT_SECONDS,
        )
        self.jwks_fetched = Gauge(
            "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
            "Timestamp of the last successful or failed JWKS fetch split by result, api server identity and jwt issuer for "
            "the JWT authenticator.",
            ("result", "jwt_issuer_hash", "apiserver_id_hash"),
        )
        self.jwks_info = Gauge(
            "apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info",
            "Information about the last JWKS fetched by the JWT authenticator with hash as label, split by api server "
            "identity and jwt issuer.",
            ("jwt_issuer_hash", "apiserver_id_hash", "hash"),
        )
        self.reloads = Counter(
            "apiserver_authentication_config_controller_automatic_reloads_total",
            "Total number of automatic reloads of authentication configuration split by status and apiserver identity.",
            ("status", "apiserver_id_hash"),
        )
        self.reloaded = Gauge(
            "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds",
            "Timestamp of the last automatic reload of authentication configuration split by status and apiserver identity.",
            ("status", "apiserver_id_hash"),
        )
        self.config_info = Gauge(
            "apiserver_authentication_config_controller_last_config_info",
            "Information about the last applied authentication configuration with hash as label, split by apiserver "
            "identity.",
            ("apiserver_id_hash", "hash"),
        )
        self.legacy_tokens.add(amount=0)
        for counter in (
            self.manual_tokens,
            self.auto_tokens,
            self.invalid_tokens,
            self.stale_tokens,
            self.valid_tokens,
        ):
            counter.add(amount=0)

    def all(self) -> list[Metric]:
        return [value for value in vars(self).values() if isinstance(value, Counter | Histogram)]

    def authenticated(self, label: tuple[str], seconds: float) -> None:
        """A request was authenticated. label: label_of() the user's name."""
        self.users.add(label)
        self.seconds.observe(seconds, SUCCESS)

    def refused(self, result: tuple[str], seconds: float) -> None:
        self.seconds.observe(seconds, result)

    def configured(self, raw: bytes) -> None:
        """An authentication configuration is in force."""
        self.config_info.values = {(self.identity, sha256(raw)): 1.0}

    def config_read(self, raw: bytes | None) -> None:
        """A changed configuration was taken, or (None) was not."""
        labels = ("failure" if raw is None else "success", self.identity)
        self.reloads.add(labels)
        self.reloaded.set(self.clock.time(), labels)
        if raw is not None:
            self.configured(raw)

    def issuer(self, url: str) -> IssuerMetrics:
        return IssuerMetrics(self, url)


class IssuerMetrics:
    """What is counted of one issuer. It is told of fetches of the issuer's keys (provider.Observer)."""

    def __init__(self, metrics: AuthenticationMetrics, url: str) -> None:
        self._metrics = metrics
        self._issuer = sha256(url)
        self._stopped = False

    def authenticated(self, result: str, seconds: float) -> None:
        self._metrics.jwt_seconds.observe(seconds, (result, self._issuer))

    def keys_fetched(self, document: bytes | None) -> None:
        if self._stopped:
            return
        metrics, of = self._metrics, (self._issuer, self._metrics.identity)
        metrics.jwks_fetched.set(metrics.clock.time(), ("failure" if document is None else "success", *of))
        if document is not None:
            _forget(metrics.jwks_info, lambda labels: labels[:2] == of)
            metrics.jwks_info.set(1, (*of, sha256(document)))

    def stop(self, *, forget: bool) -> None:
        """The issuer's authenticator ends. forget: no other has taken its place."""
        self._stopped = True
        if forget:
            of = (self._issuer, self._metrics.identity)
            _forget(self._metrics.jwks_info, lambda labels: labels[:2] == of)
            _forget(self._metrics.jwks_fetched, lambda labels: labels[1:] == of)


def _forget(gauge: Gauge, which: Callable[[tuple[str, ...]], bool]) -> None:
    gauge.values = {labels: value for labels, value in gauge.values.items() if not which(labels)}


def label_of(name: str) -> tuple[str]:
    """How a user is counted."""
    if name in _KNOWN_USERS:
        return (name,)
    return ("email_id",) if "@" in name else ("other",)


def sha256(data: bytes | str) -> str:
    if not data:
        return ""
    return "sha256:" + hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()
