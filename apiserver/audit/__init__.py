"""Auditing: who asked for what, as whom, and what came of it. Off unless a policy file is given.

policy.py says what of a request is recorded, events.py is the record of one, log.py and webhook.py take it away.
filters/audit.py makes the events; handlers give it decoded objects through request.audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from apimachinery.clock import Clock
from apiserver.audit.config import Config
from apiserver.audit.policy import Policy
from serving.metrics import Counter, Metrics

if TYPE_CHECKING:
    from apiserver.audit.events import AuditEvent

__all__ = ["Audit", "Config", "build"]


class Backend(Protocol):
    """Where encoded events go."""

    strict: bool

    def process(self, line: bytes) -> Awaitable[bool] | None: ...

    async def close(self) -> None: ...


class Audit:
    """The policy and its backends."""

    def __init__(self, policy: Policy, clock: Clock, metrics: Metrics) -> None:
        self.policy = policy
        self.clock = clock
        self.backends: list[Backend] = []
        self._loose: set[asyncio.Future[bool]] = set()
        self.work: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}  # what runs while the server does
        text = "Counter of audit events generated and sent to the audit backend."
        self._events = Counter("apiserver_audit_event_total", text)
        text = "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error."
        self._errors = Counter("apiserver_audit_error_total", text, ("plugin",))
        self.levels = Counter(
            "apiserver_audit_level_total", "Counter of policy levels for audit events (1 per request).", ("level",)
        )
        text = "Counter of apiserver requests rejected due to an error in audit logging backend."
        self.rejected = Counter("apiserver_audit_requests_rejected_total", text)
        metrics.add(self._events, self._errors, self.levels, self.rejected)

    def failed(self, plugin: str, events: int) -> None:
        self._errors.add((plugin,), events)

    async def tell(self, event: AuditEvent, stage: str) -> bool:
        """Send the event as it is now; False when a strict backend did not take it."""
        if stage in event.omitted:
            return True
        self._events.add()
        line = event.encode(stage)
        fine = True
        for backend in self.backends:
            pending = backend.process(line)
            if pending is not None and not await pending and backend.strict:
                fine = False
        return fine

    def forget(self, event: AuditEvent, stage: str) -> None:
        """Send the event where nobody can wait for it."""
        if stage in event.omitted:
            return
        self._events.add()
        line = event.encode(stage)
        for backend in self.backends:
            pending = backend.process(line)
            if asyncio.iscoroutine(pending):
                task = asyncio.ensure_future(pending)
                self._loose.add(task)
                task.add_done_callback(self._loose.discard)

    async def close(self) -> None:
        if self._loose:
            await asyncio.wait(self._loose, timeout=1)
        for backend in self.backends:
            await backend.close()


def build(config: Config, clock: Clock, metrics: Metrics) -> Audit | None:
    """None without a policy or without a backend. ValueError, OSError when files cannot be used."""
    if config.audit_policy_file is None:
        return None
    from apiserver.audit import policy

    audit = Audit(policy.load(config.audit_policy_file), clock, metrics)
    for flag, value in (
        ("maxage", config.audit_log_maxage),
        ("maxbackup", config.audit_log_maxbackup),
        ("maxsize", config.audit_log_maxsize),
    ):
        if value < 0:
            raise ValueError(f"--audit-log-{flag} {value} can't be a negative number")
    _check_batches(config)
    if config.audit_log_path:
        from apiserver.audit.log import LogBackend

        audit.backends.append(LogBackend(config, clock, audit.failed))
    if config.audit_webhook_config_file is not None:
        from apiserver.audit.webhook import WebhookBackend

        webhook = WebhookBackend(config, clock, audit.failed)
        audit.backends.append(webhook)
        audit.work["audit-webhook"] = webhook.run
    return audit if audit.backends else None


def _check_batches(config: Config) -> None:
    """ValueError for batches that could never be sent."""
    if config.audit_webhook_config_file is None or config.audit_webhook_mode != "batch":
        return
    numbers: dict[str, float] = {
        "buffer size": config.audit_webhook_batch_buffer_size,
        "max batch size": config.audit_webhook_batch_max_size,
    }
    if config.audit_webhook_batch_throttle_enable:
        numbers["throttle QPS"] = config.audit_webhook_batch_throttle_qps
        numbers["throttle burst"] = config.audit_webhook_batch_throttle_burst
    for what, value in numbers.items():
        if value <= 0:
            raise ValueError(f"invalid audit batch webhook {what} {value:g}, must be a positive number")
