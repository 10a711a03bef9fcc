"""Priority and fairness of one server: follows the FlowSchemas and PriorityLevelConfigurations, sorts requests into
levels, and lends seats that a level does not use to those that can.

    fairness = Fairness(reader, clock, total_seats, resources)
    await fairness.sync()                  # before the first request counts; run() follows changes
    flow = fairness.flow(user, info)       # kept, so that asking again costs nothing

Called by filters/fairness.py. What it decides without asking anybody: the two mandatory levels always exist.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable

from apimachinery import times
from apimachinery.clock import Clock
from apimachinery.errors import ApiError
from apiserver.authn.user import User
from apiserver.flowcontrol import classify, shares
from apiserver.flowcontrol.estimate import Resources
from apiserver.flowcontrol.levels import Flow, Level, Ticket
from apiserver.flowcontrol.metrics import SchemaStats
from apiserver.flowcontrol.pacing import Pacer
from apiserver.kinds.flowcontrol import mandatory
from apiserver.registry.kind import NotifyingReader, Obj
from apiserver.requestinfo import RequestInfo

log = logging.getLogger(__name__)

GROUP = "flowcontrol.apiserver.k8s.io"
CONSUMER = "api-priority-and-fairness-config-consumer-v1"
_ADJUST_SECONDS = 10.0
_LOOK_SECONDS = 0.5  # between looks for those that have waited too long
_WIDEST_SHARE = 0.15  # of a level's nominal seats that one request may take
_FLOWS = 8192  # kept answers; all are forgotten when there are more
_CATCH_ALL = "catch-all"

Key = tuple[int, str, str, str, str, str, str]
Apply = Callable[..., Awaitable[Obj]]


class Fairness:
    """One server's. total: seats (the sum of --max-requests-inflight and --max-mutating-requests-inflight).
    patience: seconds that a request may wait in line."""

    def __init__(
        self,
        reader: NotifyingReader,
        clock: Clock,
        total: int,
        resources: Resources,
        *,
        patience: float,
        apply: Apply | None = None,
    ) -> None:
        self.clock = clock
        self.resources = resources
        self.levels: dict[str, Level] = {}
        self.schemas: list[Obj] = []
        self.flows: dict[Key, tuple[User, Flow]] = {}
        self.pacer = Pacer()
        self.fair_fraction = 0.0
        self.starting: dict[Ticket, Callable[[], None]] = {}  # watches whose first state is on its way -> their end
        self._reader = reader
        self._apply = apply
        self._total = total
        self._patience = patience
        self._nominal_sum = 0
        self._changed = asyncio.Event()
        self._lingering: deque[tuple[float, Ticket]] = deque()
        self._lingers = asyncio.Event()
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            reader.on_change(GROUP, plural, lambda namespace, name: self._changed.set())
        self.digest([], [])

    # -- requests

    def flow(self, user: User, info: RequestInfo) -> Flow:
        """The flow that requests of this user for such a thing belong to."""
        resource = info.is_resource
        key = (
            id(user),
            info.verb,
            info.group,
            info.resource,
            info.subresource,
            info.namespace,
            "" if resource else info.path,
        )
        known = self.flows.get(key)
        if known is not None and known[0] is user:
            return known[1]
        flow = self._classify(user, info)
        if len(self.flows) >= _FLOWS:
            self.flows.clear()
        self.flows[key] = (user, flow)
        return flow

    def _classify(self, user: User, info: RequestInfo) -> Flow:
        chosen = next((schema for schema in self.schemas if classify.matches(schema, user, info)), self.schemas[-1])
        meta = chosen["metadata"]
        name = meta["name"]
        level = self.levels[chosen["spec"]["priorityLevelConfiguration"]["name"]]
        flow = classify.distinguisher(chosen, user, info) if len(level.queues) > 1 else ""
        stats = level.stats.get(name)
        if stats is None:
            stats = level.stats[name] = SchemaStats((level.name, name))
        return Flow(level, name, meta.get("uid", ""), flow, stats)

    def finish(self, ticket: Ticket) -> None:
        """The request is answered."""
        level = ticket.flow.level
        seconds = level.finish(ticket)
        if seconds:
            self._lingering.append((self.clock.monotonic() + seconds, ticket))
            self._lingers.set()
        elif level.waiting:
            self.pacer.plan()
        elif level.quiescing and level.idle:
            self._changed.set()

    # -- configuration

    async def sync(self) -> None:
        """Follow the objects as they are now, and say in each FlowSchema's status whether its level exists."""
        levels = await self._reader.list(GROUP, "prioritylevelconfigurations")
        schemas = await self._reader.list(GROUP, "flowschemas")
        self.digest(levels, schemas)
        for schema in schemas:
            await self._tell(schema)

    async def _tell(self, schema: Obj) -> None:
        name = schema["spec"]["priorityLevelConfiguration"]["name"]
        level = self.levels.get(name)
        found = level is not None and not level.quiescing
        text = f'This FlowSchema references the PriorityLevelConfiguration object named "{name}" '
        text += "and it exists" if found else "but there is no such object"
        wanted = {
            "type": "Dangling",
            "status": "False" if found else "True",
            "reason": "Found" if found else "NotFound",
            "message": text,
        }
        for condition in (schema.get("status") or {}).get("conditions") or ():
            if all(condition.get(field) == value for field, value in wanted.items()):
                return
        if self._apply is None:
            return
        condition = {**wanted, "lastTransitionTime": times.now(self.clock)}
        patch = {"metadata": {"name": schema["metadata"]["name"]}, "status": {"conditions": [condition]}}
        try:
            await self._apply(GROUP, "flowschemas", patch, manager=CONSUMER, subresource="status")
        except ApiError as error:
            if error.reason != "NotFound":
                log.warning("the status of the FlowSchema %s was not written: %s", schema["metadata"]["name"], error)

    def digest(self, levels: list[Obj], schemas: list[Obj]) -> None:
        """Go by these objects from now on."""
        wanted = {obj["metadata"]["name"]: obj for obj in levels}
        for name, spec in mandatory.PRIORITY_LEVELS.items():
            wanted.setdefault(name, {"metadata": {"name": name}, "spec": spec})
        kept: dict[str, Level] = {}
        for name, obj in wanted.items():
            level = self.levels.get(name) or Level(name, self.clock.monotonic)
            level.configure(obj)
            level.quiescing = False
            kept[name] = level
        for name, level in self.levels.items():
            if name not in kept and not level.idle:  # what waits there is still served
                level.quiescing = True
                kept[name] = level
        new = [level for name, level in kept.items() if name not in self.levels]
        self.levels = kept
        self._divide(new)
        usable = [obj for obj in schemas if obj["spec"]["priorityLevelConfiguration"]["name"] in wanted]
        usable.sort(key=lambda obj: (obj["spec"].get("matchingPrecedence", 1000), obj["metadata"]["name"]))
        names = {obj["metadata"]["name"] for obj in usable}
        for name, spec in mandatory.FLOW_SCHEMAS.items():
            if name not in names:
                imagined = {"metadata": {"name": name}, "spec": spec}
                usable = [*usable, imagined] if name == _CATCH_ALL else [imagined, *usable]
        self.schemas = usable
        self.flows.clear()
        for level in kept.values():
            level.stats = {
                name: stats for name, stats in level.stats.items() if name in names or stats.executing or stats.waiting
            }

    def _divide(self, new: list[Level]) -> None:
        """Nominal seats by shares, and the bounds within which lending and borrowing move them."""
        commons = {level: level.spec.get("limited") or level.spec.get("exempt") or {} for level in self.levels.values()}
        total_shares = sum(common.get("nominalConcurrencyShares") or 0 for common in commons.values()) or 1
        self._nominal_sum = 0
        for level, common in commons.items():
            shares_of = common.get("nominalConcurrencyShares") or 0
            level.nominal = nominal = math.ceil(self._total * shares_of / total_shares)
            lendable = _round(nominal * (common.get("lendablePercent") or 0) / 100)
            borrowing = common.get("borrowingLimitPercent")
            level.lower = nominal - lendable
            level.upper = nominal + (self._total if borrowing is None else _round(nominal * borrowing / 100))
            level.max_seats = 0
            if level.queued:
                hand = level.spec["limited"]["limitResponse"]["queuing"]["handSize"]
                level.max_seats = max(1, min(math.ceil(nominal * _WIDEST_SHARE), nominal // hand))
            if level in new:
                level.limit = nominal - lendable // 2
            self._nominal_sum += nominal
        self.adjust()

    def adjust(self) -> None:
        """Lend and borrow: move each level's limit to what it could use, as far as bounds and the others let it."""
        remaining = self._nominal_sum
        limited: list[tuple[Level, int]] = []
        for level in self.levels.values():
            level.measure()
            if level.exempt:
                level.limit = max(level.lower, level.high)
                remaining -= level.limit
            else:
                limited.append((level, max(level.lower, min(level.nominal, level.high))))
        lower, current = sum(level.lower for level, _ in limited), sum(least for _, least in limited)
        self.fair_fraction = 0.0
        if remaining <= lower:
            for level, _ in limited:
                level.limit = level.lower
        elif remaining <= current:
            fraction = (remaining - lower) / (current - lower)
            for level, least in limited:
                level.limit = level.lower + _round((least - level.lower) * fraction)
        else:
            claims = [
                shares.Claim(max(least, level.smoothed), float(least), float(level.upper)) for level, least in limited
            ]
            try:
                seats, self.fair_fraction = shares.allocate(self._nominal_sum, claims)
            except ValueError as error:
                log.error("the limits of priority levels stay as they are: %s", error)
                seats = [float(level.limit) for level, _ in limited]
            for (level, _), given in zip(limited, seats, strict=True):
                level.limit = _round(given)
        self.pacer.kick(self.levels.values())

    # -- life

    async def run(self) -> None:
        """Follow changes, lend and borrow, and let nobody wait for ever, for as long as the server runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="fairness-configuration")
            group.create_task(self._lend(), name="fairness-lending")
            group.create_task(self._impatience(), name="fairness-impatience")
            group.create_task(self._let_go(), name="fairness-lingering")

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.sync()

    async def _lend(self) -> None:
        while True:
            await self.clock.sleep(_ADJUST_SECONDS)
            self.adjust()

    async def _impatience(self) -> None:
        while True:
            await self.clock.sleep(_LOOK_SECONDS)
            now = self.clock.monotonic()
            for level in self.levels.values():
                if level.waiting:
                    for ticket in level.expired(now, self._patience):
                        level.give_up(ticket, timed_out=True)
            for ticket, end in list(self.starting.items()):
                if now - ticket.started >= self._patience:
                    end()

    async def _let_go(self) -> None:
        """Give back seats that lingered after writes which many watch."""
        while True:
            await self._lingers.wait()
            while self._lingering:
                until, _ = min(self._lingering, key=_until)
                await self.clock.sleep(until - self.clock.monotonic())
                now = self.clock.monotonic()
                over = [entry for entry in self._lingering if entry[0] <= now]
                for entry in over:
                    self._lingering.remove(entry)
                    level = entry[1].flow.level
                    level.release(entry[1])
                    self.pacer.freed(level)
            self._lingers.clear()


def _until(entry: tuple[float, Ticket]) -> float:
    return entry[0]


def _round(value: float) -> int:
    """To the nearest, halves up, as Go rounds what is positive."""
    return math.floor(value + 0.5)
