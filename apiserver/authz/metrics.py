"""What authorization counts, under the original's names."""

from __future__ import annotations

import hashlib

from serving.metrics import Counter, Counts, Gauge, Histogram, Labels, Metrics

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REQUEST_SECONDS = tuple(0.001 * 2**power for power in range(15))
_CONDITION_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)


class AuthorizationMetrics:
    """One server's. register() once there is somewhere to show them."""

    def __init__(self) -> None:
        prefix, by = "apiserver_authorization", ("type", "name")
        self.decisions = Counter(
            f"{prefix}_decisions_total",
            "Decisions of authorizers that ended the chain, by authorizer and decision.",
            ("type", "name", "decision"),
        )
        self.seconds = Histogram(
            "authorization_duration_seconds",
            "Seconds that authorization took, by what it said: 'allowed', 'denied', 'no-opinion' or 'error'.",
            ("result",),
            _REQUEST_SECONDS,
        )
        self.attempts = Counts("authorization_attempts_total", "Requests by what authorization said.", self.seconds)
        self.evaluations = Counter(
            f"{prefix}_webhook_evaluations_total", "Round trips to authorization webhooks.", ("name", "result")
        )
        self.durations = Histogram(
            f"{prefix}_webhook_duration_seconds", "Seconds of those round trips.", ("name", "result"), _SECONDS
        )
        self.failed_open = Counter(
            f"{prefix}_webhook_evaluations_fail_open_total",
            "Webhooks that had no opinion because they timed out or failed.",
            ("name", "result"),
        )
        self.condition_errors = Counter(
            f"{prefix}_match_condition_evaluation_errors_total", "Match conditions that could not be evaluated.", by
        )
        self.exclusions = Counter(
            f"{prefix}_match_condition_exclusions_total", "Webhooks left out because of their match conditions.", by
        )
        self.condition_seconds = Histogram(
            f"{prefix}_match_condition_evaluation_seconds",
            "Seconds that match conditions took.",
            by,
            _CONDITION_SECONDS,
        )
        self.config = ConfigMetrics()

    def register(self, metrics: Metrics) -> None:
        metrics.add(
            self.seconds,
            self.attempts,
            self.decisions,
            self.evaluations,
            self.durations,
            self.failed_open,
            self.condition_errors,
            self.exclusions,
            self.condition_seconds,
            *self.config.all,
        )


class ConfigMetrics:
    """Of the configuration file and its reloads."""

    def __init__(self) -> None:
        prefix, by = "apiserver_authorization_config_controller", ("status", "apiserver_id_hash")
        self.server = ""  # the hash of this server's identity
        self._applied = ""
        self.reloads = Counter(f"{prefix}_automatic_reloads_total", "Reloads of the authorization configuration.", by)
        self.last = Gauge(
            f"{prefix}_automatic_reload_last_timestamp_seconds", "When the configuration was last reloaded.", by
        )
        self.info = Gauge(
            f"{prefix}_last_config_info",
            "The hash of the authorization configuration that was last applied.",
            ("apiserver_id_hash", "hash"),
            self._info,
        )
        self.all = (self.reloads, self.last, self.info)

    def applied(self, raw: bytes) -> None:
        self._applied = _hash(raw)

    def _info(self) -> dict[Labels, float]:
        return {(self.server, self._applied): 1.0} if self._applied else {}

    def reloaded(self, now: float, *, well: bool) -> None:
        labels = ("success" if well else "failure", self.server)
        self.reloads.add(labels)
        self.last.set(now, labels)


def _hash(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}" if data else ""
