"""Leader election on a Lease: of several replicas of a component only one works.

Called by the controllers and the scheduler. The protocol is client-go's: the holder renews the Lease; another replica
takes it over once it has seen no renewal for the lease's duration by its own clock, so clocks need not agree.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from apimachinery import clock as clocks
from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from client.api import Client, Unreachable
from client.events import EventRecorder
from client.resources import LEASES

log = logging.getLogger(__name__)

Obj = dict[str, Any]
_JITTER = 1.2


class LeadershipLost(Exception):
    """The Lease could not be renewed in time: the caller must stop at once, another may be leading."""


@dataclass(frozen=True, slots=True)
class Config:
    """What to hold and how often. The durations are the original's defaults.

    identity: unique to this process. lease_duration: seconds others wait after the last renewal. renew_deadline: seconds
    the leader tries to renew before it gives up. retry_period: seconds between attempts.
    """

    name: str
    identity: str
    namespace: str = "kube-system"
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


@dataclass(frozen=True, slots=True)
class Flags:
    """What a component can be told of its election: the original's --leader-elect… flags."""

    leader_elect: bool = True
    """Whether to work only while holding the Lease, so that several replicas can run."""

    leader_elect_lease_duration: float = 15.0
    """Seconds that other replicas wait after the last renewal before they take over."""

    leader_elect_renew_deadline: float = 10.0
    """Seconds the leader tries to renew before it gives up."""

    leader_elect_retry_period: float = 2.0
    """Seconds between attempts to take or renew the Lease."""

    leader_elect_identity: str = ""
    """Who holds the Lease; host name and a random UUID when empty. A supervisor that never runs two replicas gives a
    lasting one, so that a restarted replica need not wait for its predecessor's Lease to run out."""

    leader_elect_resource_name: str = ""
    """Name of the Lease."""

    leader_elect_resource_namespace: str = "kube-system"
    """Namespace of the Lease."""

    def config(self) -> Config:
        """As the elector takes it."""
        return Config(
            name=self.leader_elect_resource_name,
            identity=self.leader_elect_identity or own_identity(),
            namespace=self.leader_elect_resource_namespace,
            lease_duration=self.leader_elect_lease_duration,
            renew_deadline=self.leader_elect_renew_deadline,
            retry_period=self.leader_elect_retry_period,
        )


def own_identity() -> str:
    """A name that no other process has: the host's and a random UUID, as the original makes it."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class LeaderElector:
    """One replica's part in an election."""

    def __init__(self, client: Client, config: Config, *, clock: Clock, recorder: EventRecorder | None = None) -> None:
        self._client = client
        self._config = config
        self._clock = clock
        self._recorder = recorder
        self._lease: Obj | None = None
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = 0.0
        self.leader = ""  # identity of the last holder seen

    @property
    def leading(self) -> bool:
        return self.leader == self._config.identity

    def check(self) -> str | None:
        """A health check: what is wrong if we lead but have not renewed in time, with 20 s of tolerance."""
        if not self.leading:
            return None
        overdue = self._clock.monotonic() - self._seen_at - self._config.lease_duration
        return f"failed election to renew leadership on lease {self._config.name}" if overdue > 20 else None

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then run lead() while renewing it; give it up when lead() ends or this is cancelled.

        LeadershipLost when it could not be renewed; lead() is cancelled then.
        """
        await self._acquire()
        try:
            async with asyncio.TaskGroup() as group:
                renewal = group.create_task(self._renew(), name="lease renewal")
                await lead()
                renewal.cancel()
        except* LeadershipLost as lost:
            self._record("stopped leading")
            raise lost.exceptions[0] from None
        finally:
            if self.leading:
                await asyncio.shield(self._release())

    async def _acquire(self) -> None:
        config = self._config
        log.info("attempting to acquire leader lease %s/%s", config.namespace, config.name)
        while not await self._try():
            await self._clock.sleep(config.retry_period * (1 + random.random() * _JITTER))
        self._record("became leader")
        log.info("acquired lease %s/%s", config.namespace, config.name)

    async def _renew(self) -> None:
        config = self._config
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(config.retry_period)
            if await self._try():
                renewed = self._clock.monotonic()
            elif self._clock.monotonic() - renewed >= config.renew_deadline or not self.leading:
                self.leader = ""
                raise LeadershipLost(f"failed to renew lease {config.namespace}/{config.name}")

    async def _try(self) -> bool:
        """One attempt to take or renew the Lease; whether it is ours now."""
        try:
            async with clocks.timeout(self._clock, self._config.renew_deadline):
                return await self._take_or_renew()
        except (ApiError, Unreachable, TimeoutError) as error:
            log.warning("leader lease %s/%s: %s", self._config.namespace, self._config.name, error)
            self._lease = None
            return False

    async def _take_or_renew(self) -> bool:
        config = self._config
        if not (self.leading and self._lease is not None):
            try:
                self._observe(await self._client.get(LEASES, config.name, config.namespace))
            except ApiError as error:
                if error.code != 404:
                    raise
                metadata = {"name": config.name, "namespace": config.namespace}
                lease = {"metadata": metadata, "spec": self._spec(None)}
                self._observe(await self._client.create(LEASES, lease))
                return True
        assert self._lease is not None
        if self.leader and not self.leading and self._clock.monotonic() < self._seen_at + self._duration():
            return False
        lease = {**self._lease, "spec": self._spec(self._lease.get("spec") or {})}
        self._observe(await self._client.update(LEASES, lease))
        return True

    def _duration(self) -> float:
        """How long the present holder asks others to wait."""
        spec = (self._lease or {}).get("spec") or {}
        return float(spec.get("leaseDurationSeconds") or self._config.lease_duration)

    def _spec(self, old: Obj | None) -> Obj:
        now = times.micro_now(self._clock)
        spec = {**(old or {})}
        if not self.leading or old is None:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (old.get("leaseTransitions") or 0) + 1 if old is not None else 0
        spec["holderIdentity"] = self._config.identity
        spec["leaseDurationSeconds"] = int(self._config.lease_duration)
        spec["renewTime"] = now
        return spec

    def _observe(self, lease: Obj) -> None:
        """Note the Lease; the time that counts is when we saw it change, not what it says."""
        spec = lease.get("spec") or {}
        seen = (
            spec.get("holderIdentity"),
            spec.get("renewTime"),
            spec.get("acquireTime"),
            spec.get("leaseTransitions"),
        )
        if seen != self._seen:
            self._seen = seen
            self._seen_at = self._clock.monotonic()
        self._lease = lease
        holder = spec.get("holderIdentity") or ""
        if holder != self.leader:
            self.leader = holder
            if holder and not self.leading:
                log.info("leader of %s/%s is %s", self._config.namespace, self._config.name, holder)

    async def _release(self) -> None:
        """Let another replica take over at once."""
        try:
            lease = await self._client.get(LEASES, self._config.name, self._config.namespace)
            if (lease.get("spec") or {}).get("holderIdentity") != self._config.identity:
                return
            now = times.micro_now(self._clock)
            spec = {
                **lease["spec"],
                "holderIdentity": "",
                "leaseDurationSeconds": 1,
                "renewTime": now,
                "acquireTime": now,
            }
            self._observe(await self._client.update(LEASES, {**lease, "spec": spec}))
        except (ApiError, Unreachable, TimeoutError) as error:
            log.warning("failed to release lease %s/%s: %s", self._config.namespace, self._config.name, error)

    def _record(self, what: str) -> None:
        if self._recorder is not None and self._lease is not None:
            self._recorder.event(self._lease, "Normal", "LeaderElection", f"{self._config.identity} {what}")
