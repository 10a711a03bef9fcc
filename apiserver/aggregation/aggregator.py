"""Answers for the group versions of other servers by passing requests on to them, and keeps the APIService objects true.

One worker of the API server. It probes the servers behind APIServices (every 30 seconds, and when a service or its endpoints
change), writes their Available condition, shows their groups in discovery, and registers the groups of custom resources.
Requests are passed on as the user who sent them, stated in X-Remote-* headers under the front proxy's certificate.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlencode

import aiohttp

from apimachinery import clock as clocks
from apimachinery import errors, times
from apimachinery.clock import Clock, wait_for
from apimachinery.errors import ApiError
from apiserver import forward, outbound
from apiserver.aggregation import availability, documents, priorities
from apiserver.aggregation.availability import Finding, Identity
from apiserver.aggregation.documents import Documents
from apiserver.app import group_version
from apiserver.authn.user import User
from apiserver.bootstrap import api_services
from apiserver.bootstrap.ensure import Access
from apiserver.discovery import External
from apiserver.filters.base import Request
from apiserver.forward import Target
from apiserver.registry.kind import NotifyingReader, Obj, Writer
from apiserver.registry.registry import SERVER_MANAGER
from serving.reply import Header, Reply

log = logging.getLogger(__name__)

GROUP, PLURAL = api_services.GROUP, "apiservices"
RESYNC_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_NEVER = 86400.0
_RETIRED_SECONDS = 300.0  # that requests over connections of an old set-up may still take
_DIAL = "error dialing backend"
_SET_HERE = ("audit-id", "x-forwarded-host", "x-forwarded-proto")
_TOKEN = "!#$&'*+-.^_`|~"  # what the name of a header may hold unescaped, besides letters and digits

Key = tuple[str, str]


@dataclass
class Remote:
    """A group version of another server. spec: the APIService's, by which its connections were made."""

    name: str
    spec: Obj
    tls: ssl.SSLContext | None  # None: its caBundle is none
    client: aiohttp.ClientSession
    available: bool = False
    targets: Sequence[Target] = ()
    resources: Sequence[Obj] = field(default_factory=tuple)
    documents: Documents = field(default_factory=Documents)
    fetched: float = float("-inf")  # monotonic time at which the documents were asked for
    failures: int = 0
    due: float = 0.0  # monotonic time of the next probe


class Aggregator:
    """remotes: what is answered by other servers, by (group, version). shown: told of every change of it."""

    def __init__(
        self,
        reader: NotifyingReader,
        writer: Writer,
        clock: Clock,
        identity: Identity,
        *,
        streams: set[Callable[[], None]],
        shown: Callable[[dict[Key, External]], None],
        custom: Callable[[], Iterable[Key]],
        identity_headers: Iterable[str] = (),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._identity = identity
        self._shown_as: tuple[int, ...] = identity.stamp()
        self._streams = streams
        self._shown = shown
        self._custom = custom
        self._stated = tuple(name.lower() for name in identity_headers)
        self.remotes: dict[Key, Remote] = {}
        self._pending: dict[str, None] = {}
        self._slices: dict[tuple[str, str], None] = {}
        self._custom_changed = True
        self._group: asyncio.TaskGroup | None = None
        self._retired: list[tuple[float, aiohttp.ClientSession]] = []  # when their last request began at the latest
        self._rescheduled = asyncio.Event()
        self._wake = asyncio.Event()
        reader.on_change(GROUP, PLURAL, lambda _, name: self._notice(name))
        reader.on_change("", "services", self._service_changed)
        reader.on_change("discovery.k8s.io", "endpointslices", self._slice_changed)

    # -- what changed

    def _notice(self, name: str) -> None:
        self._pending[name] = None
        self._wake.set()

    def _service_changed(self, namespace: str | None, name: str) -> None:
        for remote in self.remotes.values():
            service = remote.spec["service"]
            if service["namespace"] == namespace and name in ("", service["name"]):
                self._notice(remote.name)

    def _slice_changed(self, namespace: str | None, name: str) -> None:
        if any(remote.spec["service"]["namespace"] == namespace for remote in self.remotes.values()):
            self._slices[namespace or "", name] = None
            self._wake.set()

    async def _whose(self, namespace: str, name: str) -> None:
        """Notice the APIServices whose service an endpoint slice belongs to; of one that is gone, all that it may have been."""
        found = await self._reader.get("discovery.k8s.io", "endpointslices", namespace, name)
        labels = found["metadata"].get("labels") or {} if found is not None else None
        if labels is None or "kubernetes.io/service-name" in labels:
            self._service_changed(namespace, labels["kubernetes.io/service-name"] if labels else "")

    def custom_changed(self) -> None:
        """Custom resources were added or removed."""
        self._custom_changed = True
        self._wake.set()

    # -- the worker

    async def start(self) -> None:
        """Know the remote group versions before the first request; their servers are probed later."""
        for service in await self._reader.list(GROUP, PLURAL):
            if (service.get("spec") or {}).get("service"):
                self._pending[service["metadata"]["name"]] = None
                await self._believe(await self._remote(service), service)
        self._show()

    async def run(self) -> None:
        """Work until cancelled: on one APIService at a time each, on different ones side by side."""
        running: set[str] = set()
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._resync())
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._custom_changed:
                    self._custom_changed = False
                    await self._guarded("", self._register_custom())
                while self._slices:
                    place = next(iter(self._slices))
                    del self._slices[place]
                    await self._whose(*place)
                for name in [name for name in self._pending if name not in running]:
                    del self._pending[name]
                    running.add(name)
                    group.create_task(self._work(name, running))

    async def _work(self, name: str, running: set[str]) -> None:
        try:
            await self._guarded(name, self.sync(name))
        finally:
            running.discard(name)
            self._wake.set()

    async def _guarded(self, name: str, work: Awaitable[None]) -> None:
        try:
            await work
        except ApiError as error:
            if not errors.is_reason(error, "Conflict", "NotFound"):
                log.warning("API service %s: %s", name, error)
            if name:
                self._notice(name)
            else:
                self.custom_changed()
            await self._clock.sleep(_RETRY_SECONDS)
        except Exception:
            log.exception("API service %s", name)

    async def _resync(self) -> None:
        """Have every remote probed again when it is due."""
        while True:
            self._rescheduled.clear()
            now = self._clock.monotonic()
            self._renew_identity(now)
            while self._retired and now - self._retired[0][0] > _RETIRED_SECONDS:
                await self._retired.pop(0)[1].close()
            for remote in self.remotes.values():
                if remote.due <= now:
                    remote.due = now + RESYNC_SECONDS
                    self._notice(remote.name)
            due = min((remote.due for remote in self.remotes.values()), default=now + _NEVER)
            try:
                await wait_for(self._clock, self._rescheduled.wait(), due - now)
            except TimeoutError:
                pass

    def _renew_identity(self, now: float) -> None:
        """Show another certificate from now on when its file has changed."""
        stamp = self._identity.stamp()
        if stamp == self._shown_as:
            return
        self._shown_as = stamp
        for remote in self.remotes.values():
            if remote.tls is None:
                continue
            try:
                tls = self._identity.tls(remote.spec)
            except (ValueError, OSError) as error:  # half written: the next look finds the whole
                log.warning("the proxy client certificate cannot be read: %s", error)
                self._shown_as = ()
                return
            self._retired.append((now, remote.client))
            remote.tls, remote.client = tls, forward.session(tls, keep=True)
            remote.targets = [replace(target, tls=tls) for target in remote.targets]

    def _schedule(self, remote: Remote, finding: Finding) -> None:
        """When to probe again: soon after a failure of the server itself, for the rest changes are noticed."""
        remote.failures = remote.failures + 1 if finding.reason == "FailedDiscoveryCheck" else 0
        delay = min(2.0**remote.failures, RESYNC_SECONDS) if remote.failures else RESYNC_SECONDS
        remote.due = self._clock.monotonic() + delay
        self._rescheduled.set()

    async def close(self) -> None:
        """End all connections."""
        for remote in self.remotes.values():
            await remote.client.close()
        for _, client in self._retired:
            await client.close()

    # -- one APIService

    async def sync(self, name: str) -> None:
        """Bring what is answered, and the object's condition, in line with the object and its server. ApiError: again."""
        service = await self._reader.get(GROUP, PLURAL, None, name)
        if service is None or not service["spec"].get("service"):
            await self._forget(name)
            self.custom_changed()  # it may be one that has to be
            if service is not None:
                await self._write(service, Finding("True", "Local", "Local APIServices are always available"))
            return
        known = self.remotes.get(_key(service["spec"]))
        remote = await self._remote(service)
        if remote is not known:
            await self._believe(remote, service)
        finding = await self._check(remote)
        if self.remotes.get(_key(service["spec"])) is not remote:
            return  # replaced while it was probed
        remote.available = finding.status == "True"
        remote.targets = finding.targets
        if remote.available:
            remote.resources = finding.resources
        self._schedule(remote, finding)
        self._show()
        await self._write(service, finding)
        now = self._clock.monotonic()
        if remote.available and now - remote.fetched >= documents.REFRESH_SECONDS and self._group is not None:
            remote.fetched = now
            # Not awaited: documents can be long in coming, and probes must go on meanwhile.
            self._group.create_task(self._inquire(remote), name=f"documents of {name}")

    async def _inquire(self, remote: Remote) -> None:
        """What a server that answers says of itself."""
        target = random.choice(remote.targets)
        found = await documents.fetch(remote.client, target, remote.spec, remote.documents, self._clock)
        if found != remote.documents and remote in self.remotes.values():
            remote.documents = found
            self._show()

    async def _check(self, remote: Remote) -> Finding:
        spec = remote.spec
        if remote.tls is None:
            return Finding("False", "FailedDiscoveryCheck", "the caBundle holds no certificates")
        found = await availability.locate(self._reader, spec, remote.tls)
        if found.status != "True":
            return found
        return await availability.probe(remote.client, found.targets, *_key(spec))

    async def _believe(self, remote: Remote, service: Obj) -> None:
        """Until it has been probed, its condition counts: a restart of this server is no failure of the other."""
        conditions = (service.get("status") or {}).get("conditions") or ()
        if remote.tls is not None and any(
            entry["type"] == "Available" and entry["status"] == "True" for entry in conditions
        ):
            remote.targets = (await availability.locate(self._reader, remote.spec, remote.tls)).targets
            remote.available = bool(remote.targets)

    async def _remote(self, service: Obj) -> Remote:
        """What is known of an APIService with a service; made anew when its spec changed."""
        name, spec = service["metadata"]["name"], service["spec"]
        key = _key(spec)
        known = self.remotes.get(key)
        if known is not None and known.spec == spec:
            return known
        await self._forget(name)
        try:
            tls: ssl.SSLContext | None = self._identity.tls(spec)
        except (ValueError, OSError) as error:
            log.warning("API service %s: %s", name, error)
            tls = None  # told in its condition
        made = self.remotes[key] = Remote(name, spec, tls, forward.session(tls, keep=True))
        self._show()
        return made

    async def _forget(self, name: str) -> None:
        for key in [key for key, remote in self.remotes.items() if remote.name == name]:
            remote = self.remotes.pop(key)
            self._show()
            self._retired.append((self._clock.monotonic(), remote.client))

    def _show(self) -> None:
        self._shown(
            {
                key: External(
                    remote.spec.get("groupPriorityMinimum") or 0,
                    remote.spec.get("versionPriority") or 0,
                    remote.resources,
                    remote.available,
                    remote.documents,
                )
                for key, remote in self.remotes.items()
            }
        )

    async def _write(self, service: Obj, finding: Finding) -> None:
        """The Available condition, when it says something new."""
        conditions: list[Obj] = list((service.get("status") or {}).get("conditions") or ())
        before = next((entry for entry in conditions if entry["type"] == "Available"), None)
        wanted = {"type": "Available", "status": finding.status}
        wanted |= {"reason": finding.reason, "message": finding.message}
        if before is not None and all(before.get(key) == value for key, value in wanted.items()):
            return
        unchanged = before is not None and before.get("status") == finding.status
        wanted["lastTransitionTime"] = (before or {})["lastTransitionTime"] if unchanged else times.now(self._clock)
        rest = [entry for entry in conditions if entry["type"] != "Available"]
        service["status"] = {**(service.get("status") or {}), "conditions": [*rest, wanted]}
        await self._writer.update(GROUP, PLURAL, service, subresource="status", manager=SERVER_MANAGER)

    # -- custom groups

    async def _register_custom(self) -> None:
        """A local APIService for every group version of custom resources, and none for those that are gone."""
        wanted = {f"{version}.{group}": (group, version) for group, version in self._custom()}
        existing = {found["metadata"]["name"]: found for found in await self._reader.list(GROUP, PLURAL)}
        access = Access(self._reader, self._writer, self._clock)
        for name, (group, version) in wanted.items():
            found = existing.get(name)
            if found is None or _managed(found):
                local = api_services.local(group, version, priorities.CUSTOM_GROUP, priorities.CUSTOM_VERSION, "true")
                await api_services.register(access, local)
        for name, found in existing.items():
            if name not in wanted and _managed(found):
                await self._writer.delete(GROUP, PLURAL, None, name)

    # -- requests

    async def handle(self, request: Request) -> Reply:
        """Pass a request on to the server of its group version."""
        remote = self.remotes.get(group_version(request))
        if remote is None or not remote.available or not remote.targets:
            return _plain_error(503, "service unavailable")
        if request.info.bad or _climbs(request):
            return _plain_error(404, "404 page not found")  # the other side could read another path than was authorised
        # The query goes out as it was understood here: nothing that this server overlooked may be seen there.
        query = urlencode(sorted(request.query.items()), doseq=True)
        rest = request.raw_path + (f"?{query}" if query else "")
        return await self._pass_on(request, remote, rest)

    async def document(self, request: Request, key: Key) -> Reply:
        """A document of OpenAPI v3 that the server of a group version publishes, passed on as it is asked for."""
        remote = self.remotes.get(key)
        if remote is None or not remote.available or not remote.targets:
            return _plain_error(503, "service unavailable")
        query = urlencode(sorted(request.query.items()), doseq=True)
        return await self._pass_on(request, remote, request.raw_path + (f"?{query}" if query else ""))

    async def _pass_on(self, request: Request, remote: Remote, rest: str) -> Reply:
        target = random.choice(remote.targets)
        headers = [
            *(header for header in forward.headers_of(request, self._stated) if header[0].lower() not in _SET_HERE),
            ("X-Forwarded-Host", target.authority),
            ("X-Forwarded-Proto", "https"),
            ("Audit-Id", request.audit_id),
            *identity_headers(request.user),
        ]

        def unreachable(error: Exception, what: str = "error trying to reach service") -> ApiError:
            text = outbound.words(error, target.server_name or target.host)
            return errors.service_unavailable(f"{what}: {text}")

        own = {("audit-id", request.audit_id), ("cache-control", "no-cache, private")}
        parts = request.info.path.strip("/").split("/")
        hurried = not request.info.is_resource and len(parts) == 3  # discovery has to be quick
        try:
            if forward.wants_upgrade(request):
                reply = await forward.upgraded(
                    self._streams, request, target, rest, headers, unreachable=lambda error: unreachable(error, _DIAL)
                )
                if reply.status == 101 or reply.status >= 400:
                    return reply
                return _plain_error(503, f"invalid upgrade response: status code {reply.status}")
            answer = forward.plain(
                request,
                target,
                rest,
                headers,
                client=remote.client,
                close=False,
                unreachable=unreachable,
                edit=lambda returned: [header for header in returned if (header[0].lower(), header[1]) not in own],
                redirects=False,
            )
            return await (clocks.wait_for(self._clock, answer, availability.PROBE_SECONDS) if hurried else answer)
        except TimeoutError:
            return _plain_error(503, "error trying to reach service: context deadline exceeded")
        except ApiError as error:
            return _plain_error(503, error.message)


def _key(spec: Obj) -> Key:
    return spec.get("group") or "", spec.get("version") or ""


def _climbs(request: Request) -> bool:
    return any(unquote(segment) in (".", "..") for segment in request.raw_path.split("/"))


def _managed(service: Obj) -> bool:
    """Whether it is there for custom resources, and kept so."""
    return (service["metadata"].get("labels") or {}).get(api_services.AUTOMANAGED) == "true"


def identity_headers(user: User) -> list[Header]:
    """Who sent the request, for a server that believes the front proxy."""
    headers = [("X-Remote-User", user.name)]
    if user.uid:
        headers.append(("X-Remote-Uid", user.uid))
    headers += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        headers += [(f"X-Remote-Extra-{quote(key, safe=_TOKEN)}", value) for value in values]
    return headers


def _plain_error(status: int, text: str) -> Reply:
    return Reply(status, f"{text}\n".encode(), "text/plain; charset=utf-8", [("X-Content-Type-Options", "nosniff")])
