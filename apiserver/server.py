"""Puts the API server together and runs it: storage, caches, kinds, authentication, authorisation, admission, HTTP.

Start, in this order: open storage and load the caches; listen; run the start-up hooks (objects every cluster has); then
/readyz is ok. End: not ready; stop accepting; end watches; let requests finish; close storage.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from apimachinery import filewatch
from apimachinery.clock import Clock, RealClock
from apiserver import admission, audit, authn, authz, discovery, kinds, openid, routing, storage
from apiserver.admission.chain import Chain
from apiserver.admission.webhooks.caller import Caller
from apiserver.aggregation.aggregator import Aggregator
from apiserver.aggregation.availability import Identity
from apiserver.app import FILTERS, App, Routes, Server
from apiserver.bootstrap import (
    api_services,
    authentication_config,
    flow_control,
    kubernetes_service,
    namespaces,
    priority_classes,
    rbac,
)
from apiserver.bootstrap.ensure import Access
from apiserver.columns import ColumnDefinitions, scale_columns
from apiserver.config import Config
from apiserver.filters.audit import AuditFilter
from apiserver.filters.authn import AuthenticationFilter
from apiserver.filters.authz import AuthorizationFilter
from apiserver.filters.base import Filter
from apiserver.filters.deadline import Deadline
from apiserver.filters.errors import Errors
from apiserver.filters.fairness import PriorityAndFairness
from apiserver.filters.impersonation import ImpersonationFilter
from apiserver.filters.inflight import InFlight
from apiserver.filters.metrics import RequestMetrics
from apiserver.flowcontrol import dumps
from apiserver.flowcontrol import metrics as fairness_metrics
from apiserver.flowcontrol.controller import Fairness
from apiserver.flowcontrol.resources import StoredResources
from apiserver.handlers.scope import Scope
from apiserver.kubelet import Kubelets
from apiserver.openapi_docs import OpenApiDocs
from apiserver.patch import managers
from apiserver.patch.managed import FieldManager
from apiserver.registry import service_ips
from apiserver.registry.crd import CustomResources
from apiserver.registry.crd_kind import CustomKind
from apiserver.registry.kind import Column, Kind
from apiserver.registry.registry import LocalReader, LocalWriter, Registry
from apiserver.registry.service_ips import ServiceAllocators
from apiserver.registry.store import Environment, Store
from apiserver.selfinfo import SelfInfo
from apiserver.storage.base import Backend
from apiserver.storage.cacher import Cacher, Caches
from openapi import schemas
from openapi.schemas import TypeInfo
from serving import memory, tls
from serving.http import HttpServer
from serving.metrics import Gauge, process_memory

if TYPE_CHECKING:
    from apiserver.storage.encryption import Encryption

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
_PATIENCE = 4  # a request may wait in line for that fraction of the request timeout,
_LONGEST_PATIENCE = 60.0  # and no longer

Hook = tuple[str, Callable[[], Awaitable[None]]]


class ApiServer:
    """One API server of one process. start(), then serve until end()."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.port = 0
        self.background: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}  # what runs while it serves, by name
        self.encryption: Encryption | None = None
        self.caches = Caches(self._engine(), clock)
        self.reader, self.writer = LocalReader(), LocalWriter()
        self.authentication = authn.build(config.authn, self.reader, clock, self.writer)
        self.authorization = authz.build(config.authz, self.reader, clock)
        self.admission = _admission(self)
        self.services: dict[str, Any] = {}
        self.services.update(self.authentication.services())
        self.services.update(self.authorization.services())
        self.services["resource-of-kind"] = self._resource_of_kind
        self.streams: set[Callable[[], None]] = set()
        self.services["streams"] = self.streams
        self.services["kubelet"] = self.kubelets = Kubelets(
            self.reader,
            certificate=config.kubelet_client_certificate,
            key=config.kubelet_client_key,
            authority=config.kubelet_certificate_authority,
            address_types=config.kubelet_preferred_address_types,
        )
        self.addresses = ServiceAllocators(
            self.reader, self.writer, service_ips.cidrs(config.service_cluster_ip_range), _port_range(config)
        )
        self.services[service_ips.SERVICE] = self.addresses
        self.environment = Environment(clock, self.reader, self.admission, self.services)
        self.registry = Registry(self.caches, self.environment)
        self.discovery = discovery.Discovery(self._address)
        self.fairness = self._fairness()
        self.app = App(clock)
        self.columns = ColumnDefinitions(_documented)
        self.server = Server(
            clock=clock,
            authorizer=self.authorization,
            services=self.services,
            current_revision=lambda: self.caches.revision,
            type_of=_type_of,
            managers_of=_managers_of,
            columns=self.columns,
            min_watch_seconds=float(config.min_request_timeout),
            store_of=lambda group, plural: self.registry.stores[group, plural],
            scope_of=self._scope_of,
        )
        self.info = SelfInfo(self.app, clock, config, lambda: None, self.discovery.group_paths)
        if self.encryption is not None and self.encryption.has_services:
            for health in self.info.health.values():
                health.add("kms-providers", self.encryption.check)
        self.authorization.metrics.config.server = self.authentication.metrics.identity
        self.authorization.metrics.register(self.info.metrics)
        self.audit = audit.build(config.audit, clock, self.info.metrics)
        self.http: HttpServer | None = None
        self.tls: ssl.SSLContext | None = None
        self.access = Access(self.reader, self.writer, clock)
        self.conversions = Caller(self.reader, clock)
        self.custom = CustomResources(
            self.reader,
            self.writer,
            clock,
            serve=self.serve_custom,
            unserve=self.remove_kind,
        )
        self.aggregator = self._aggregator()
        self._add_work()
        self.app.remote, self.app.delegate = self.aggregator.remotes, self.aggregator.handle

    def _aggregator(self) -> Aggregator:
        config = self.config
        return Aggregator(
            self.reader,
            self.writer,
            self.clock,
            Identity(config.proxy_client_cert_file, config.proxy_client_key_file),
            streams=self.streams,
            shown=self._show_external,
            custom=self._custom_group_versions,
            identity_headers=(
                *config.authn.requestheader_username_headers,
                *config.authn.requestheader_uid_headers,
                *config.authn.requestheader_group_headers,
                *config.authn.requestheader_extra_headers_prefix,
            ),
        )

    def _add_work(self) -> None:
        """What runs while it serves; what encrypts has been added by _engine()."""
        clock = self.clock
        self.background["custom-resources"] = self.custom.run
        if self.authorization.reloading is not None:
            self.background["authorization-config"] = self.authorization.reloading.run
        self.background.update(self.authentication.work)
        self.background["serving-files"] = self._follow_files
        self.background["kubelet-files"] = lambda: self.kubelets.follow_files(clock)
        self.background["aggregation"] = self.aggregator.run
        self.background["memory"] = lambda: memory.give_back(clock)

    # -- kinds

    def add_kind(self, kind: Kind, *, custom: bool = False) -> Store:
        """Serve a kind in all its versions. For a custom resource the caller then awaits `store.cache.start()`."""
        store = self.registry.add(kind) if kind.stored else Store(kind, cast("Cacher", None), self.environment)
        if kind.ttl:
            store.ttl = self.config.event_ttl
        self.discovery.add(kind)
        for name in kind.versions:
            self._route(routing.routes_of(self.server, kind, name, store, custom=custom))
        return store

    def _route(self, routes: Routes) -> None:
        self.app.add_routes(routes)
        self._route_groups()

    def _route_groups(self) -> None:
        """The documents of groups and versions have the paths that discovery says, and no others."""
        served = set(self.discovery.group_paths())
        for path, entry in list(self.app.paths.items()):
            if entry.handler == self.discovery.group and path not in served:
                del self.app.paths[path]
        for path in served:
            if path not in self.app.paths:
                of_group = path.startswith("/apis/") and path.count("/") == 2
                self.app.add_path(path, self.discovery.group, () if of_group else ("GET",))

    def _show_external(self, external: dict[tuple[str, str], discovery.External]) -> None:
        self.discovery.replace_external(external)
        self._route_groups()

    def _custom_group_versions(self) -> set[tuple[str, str]]:
        custom = [store.kind for store in self.registry.stores.values() if store.kind.custom]
        return {(kind.group, version) for kind in custom for version in kind.versions}

    async def serve_custom(self, kind: Kind, old: Kind | None) -> None:
        """Serve a custom kind, in place of `old` if that is given: without a moment in which neither is there."""
        cast("CustomKind", kind).use(self.conversions)
        before = await self.registry.renew(kind)
        if old is not None:
            for name in set(old.versions) - set(kind.versions):
                self.app.remove_routes(old.group, name, old.plural)
            self.discovery.remove(old.group, old.plural)
        store = self.registry.stores[kind.group, kind.plural]
        self.discovery.add(kind)
        for name in kind.versions:
            view = kind.in_version(name)
            its_store = self.registry.store_in(view, store.whole)
            self.app.add_routes(routing.routes_of(self.server, view, name, its_store, custom=True))
        self._route_groups()
        self.aggregator.custom_changed()
        if before is not None:
            await before.whole.close()

    async def remove_kind(self, kind: Kind) -> None:
        """Stop serving a custom resource; its stored objects stay."""
        for name in kind.versions:
            self.app.remove_routes(kind.group, name, kind.plural)
        self.discovery.remove(kind.group, kind.plural)
        self._route_groups()
        store = self.registry.remove(kind)
        self.aggregator.custom_changed()
        if store is not None:
            await store.whole.close()

    def _scope_of(self, group: str, name: str, plural: str, subresource: str) -> Scope:
        routes = self.app.routes[group, name, plural]
        methods = routes.subresources[subresource] if subresource else routes.item
        return methods["GET"][0]

    # -- life

    def _engine(self) -> Backend:
        """Where objects are kept, encrypted if so told."""
        config = self.config
        engine = storage.open_backend(config.storage, self.clock, config.history)
        if config.encryption_provider_config is None:
            return engine
        from apiserver.storage.encryption import Encryption  # which few need

        follow = config.encryption_provider_config_automatic_reload
        self.encryption = Encryption(config.encryption_provider_config, engine, self.clock, follow=follow)
        self.background["encryption"] = self.encryption.run
        return self.encryption.backend

    async def start(self) -> None:
        """Everything up to being ready. Raises what makes starting impossible, with nothing left open."""
        for kind in kinds.all_kinds():
            self.add_kind(kind)
        self._paths()
        self._add_metrics()
        self.app.use(self._filters())
        await self._open_storage()
        self.registry_ready()
        try:
            await self.custom.start()
            await self.aggregator.start()
            await self._listen()
            await self._run_hooks()
        except BaseException:
            await self.end()
            raise

    async def _open_storage(self) -> None:
        if self.encryption is None:
            return await self.caches.start()
        try:
            await self.encryption.start()
            await self.caches.start()
        except BaseException:  # a key that is missing, say
            await self.encryption.close()
            raise

    def registry_ready(self) -> None:
        self.reader.connect(self.registry)
        self.writer.connect(self.registry)

    async def _listen(self) -> None:
        config = self.config
        if config.tls_cert_file is None or config.tls_private_key_file is None:
            raise ValueError("--tls-cert-file and --tls-private-key-file are required")
        self.tls = tls.server_context(config.tls_cert_file, config.tls_private_key_file, self._bundles())
        self.http = HttpServer(self.app.handle, tls=self.tls, streams=self.streams)
        self.port = await self.http.listen(config.bind_address, config.secure_port)
        log.info("serving on %s port %d", config.bind_address, self.port)

    def _bundles(self) -> list[Path]:
        """The CAs whose certificates clients may present."""
        config = self.config.authn
        return [path for path in (config.client_ca_file, config.requestheader_client_ca_file) if path]

    async def _follow_files(self) -> None:
        """New connections get the certificate that the files hold now, and clients may present those of the CAs there."""
        config = self.config
        certificate, key = config.tls_cert_file, config.tls_private_key_file
        assert certificate is not None
        assert key is not None
        assert self.tls is not None

        async def taken() -> None:
            await authentication_config.reconcile(self.access, config.authn, self.clock)

        await tls.follow(
            self.tls, certificate, key, self._bundles(), self.clock, taken=taken, seconds=filewatch.SECONDS
        )

    async def end(self) -> None:
        """Not ready; watches end; requests finish; storage closes. Less than two seconds."""
        self.info.ending = True
        self.caches.end_watches()
        if self.http is not None:
            await self.http.end()
        await self.admission.close()
        await self.authorization.close()
        await self.conversions.close()
        await self.kubelets.close()
        await self.authentication.close()
        await self.aggregator.close()
        await self.caches.close()
        if self.encryption is not None:
            await self.encryption.close()
        if self.audit is not None:
            await self.audit.close()

    # -- parts

    def _filters(self) -> list[Filter]:
        config = self.config
        deadline = Deadline(self.clock, config.request_timeout)
        self.background["request-deadlines"] = deadline.run
        audit_filter: AuditFilter | None = None
        if self.audit is not None:
            self.background.update(self.audit.work)
            audit_filter = AuditFilter(self.audit)
        built: dict[str, Filter] = {
            "errors": Errors(),
            "metrics": RequestMetrics(self.info.metrics, self.clock, self.app.routes.keys()),
            "deadline": deadline,
            "authn": AuthenticationFilter(self.authentication, audit_filter),
            "impersonation": ImpersonationFilter(self.authorization),
            "fairness": self._limits(),
            "authz": AuthorizationFilter(self.authorization, self.authorization.metrics.seconds, self.clock),
        }
        if audit_filter is not None:
            built["audit"] = audit_filter
        return [built[name] for name, _ in FILTERS if name in built]

    def _fairness(self) -> Fairness | None:
        config = self.config
        if not config.enable_priority_and_fairness:
            return None
        total = config.max_requests_inflight + config.max_mutating_requests_inflight
        if total <= 0:
            raise ValueError(
                "--max-requests-inflight and --max-mutating-requests-inflight are both zero: nothing may run"
            )
        return Fairness(
            self.reader,
            self.clock,
            total,
            StoredResources(self.registry, self.clock),
            patience=min(config.request_timeout / _PATIENCE, _LONGEST_PATIENCE),
            apply=self.writer.apply,
        )

    def _limits(self) -> Filter:
        config, fairness = self.config, self.fairness
        if fairness is None:
            return InFlight(config.max_requests_inflight, config.max_mutating_requests_inflight, self.info.metrics)
        self.background["priority-and-fairness"] = fairness.run
        fairness_metrics.register(self.info.metrics, lambda: fairness.levels.values(), lambda: fairness.fair_fraction)
        self.app.add_prefix(dumps.PREFIX, dumps.handler(fairness))
        return PriorityAndFairness(fairness, self.info.metrics)

    def _address(self) -> str:
        config = self.config
        host = config.advertise_address or config.bind_address
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def _paths(self) -> None:
        app = self.app
        app.add_path("/api", self.discovery.api)
        for path in ("/apis", "/apis/"):
            app.add_path(path, self.discovery.apis, (), slashes=False)
        docs = OpenApiDocs(self.discovery, self.clock.time, self.aggregator.document)
        app.add_path("/openapi/v2", docs.v2, (), slashes=False)
        app.add_path("/openapi/v3", docs.v3, (), slashes=False)
        app.add_prefix("/openapi/v3/", docs.group)
        for path, handler in openid.paths(self.authentication, self._address):
            app.add_path(path, handler)

    def _add_metrics(self) -> None:
        """What the server knows of itself and its store."""

        def counts() -> dict[tuple[str, ...], float]:
            return {(store.kind.group_resource,): float(len(store.cache)) for store in self.registry.stores.values()}

        self.info.metrics.add(*self.authentication.metrics.all())
        text = "Number of stored objects at the time of last check split by kind."
        self.info.metrics.add(
            Gauge(
                "aggregator_unavailable_apiservice",
                "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
                ("name",),
                lambda: {(r.name,): float(not r.available) for r in self.aggregator.remotes.values()},
            )
        )
        self.info.metrics.add(process_memory(), Gauge("apiserver_storage_objects", text, ("resource",), counts))

    # -- hooks

    def _resource_of_kind(self, group: str, name: str) -> Kind | None:
        """The stored kind of that name, custom ones included."""
        for store in self.registry.stores.values():
            if (store.kind.group, store.kind.kind) == (group, name):
                return store.kind
        return None

    def _hooks(self) -> list[Hook]:
        config, access = self.config, self.access
        self.background["flow-control-objects"] = lambda: flow_control.keep(access)
        address = kubernetes_service.reachable_address(config.advertise_address, config.bind_address)
        ranges = service_ips.cidrs(config.service_cluster_ip_range)
        place = kubernetes_service.Place(address, self.port, ranges)
        return [
            ("start-system-namespaces-controller", lambda: namespaces.reconcile(access)),
            ("scheduling/bootstrap-system-priority-classes", lambda: priority_classes.reconcile(access)),
            ("priority-and-fairness-config-producer", lambda: flow_control.reconcile(access)),
            *([("priority-and-fairness-config-consumer", self.fairness.sync)] if self.fairness else []),
            ("kube-apiserver-autoregistration", lambda: api_services.reconcile(access, self.discovery)),
            ("rbac/bootstrap-roles", lambda: rbac.reconcile(self.reader, self.writer)),
            (
                "start-cluster-authentication-info-controller",
                lambda: authentication_config.reconcile(access, config.authn, self.clock),
            ),
            ("start-service-ip-repair-controllers", self.addresses.repair),
            ("bootstrap-controller", lambda: kubernetes_service.reconcile(access, place)),
        ]

    async def _run_hooks(self) -> None:
        hooks = self._hooks()
        self.info.pending = {name for name, _ in hooks}
        for name, hook in hooks:
            await hook()
            self.info.pending.discard(name)
        self.info.started = True


def _port_range(config: Config) -> tuple[int, int]:
    first, _, last = config.service_node_port_range.partition("-")
    return int(first), int(last or first)


def _admission(server: ApiServer) -> Chain:
    return admission.build(
        server.config.admission,
        reader=server.reader,
        writer=server.writer,
        authorizer=server.authorization,
        clock=server.clock,
    )


def _documented() -> Iterable[tuple[TypeInfo, Sequence[Column]]]:
    """Every built-in type that has columns, with them."""
    for kind in kinds.all_kinds():
        for name in kind.versions:
            yield kind.type_info(name), kind.columns
    yield schemas.load().type("autoscaling/v1/Scale"), scale_columns()


def _type_of(kind: Kind, version_name: str) -> TypeInfo:
    return kind.type_info(version_name)


def _managers_of(scope: Scope) -> FieldManager:
    if scope.sub == "scale":
        return managers.of_scale(custom=scope.custom)
    return managers.of_kind(scope.kind, scope.version, scope.sub, type_of=_type_of, custom=scope.custom)


async def _keep_running(name: str, work: Callable[[], Coroutine[Any, Any, None]], clock: Clock) -> None:
    """An object that a background worker stumbles over must not take the server down with it."""
    while True:
        try:
            return await work()
        except Exception:
            log.exception("%s failed and starts again", name)
            await clock.sleep(_RESTART_SECONDS)


def _allow_many_connections() -> None:
    """As many open files as the machine allows: a connection is one, and the usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def run(config: Config, ready: Callable[[], None] | None = None, clock: Clock | None = None) -> None:
    """Serve until cancelled. ready() is called when /readyz is ok."""
    _allow_many_connections()
    server = ApiServer(config, clock or RealClock())
    await server.start()
    try:
        async with asyncio.TaskGroup() as group:
            for name, work in server.background.items():
                group.create_task(_keep_running(name, work, server.clock), name=name)
            if ready is not None:
                ready()
            await asyncio.Event().wait()
    finally:
        await server.end()
