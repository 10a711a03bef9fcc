"""What the server tells of itself: /version, health, metrics, /statusz, /flagz and the list of root paths.

The health checks have the original's names, as dashboards and probes know them: each is fine as soon as the part of this
server that does its work has started.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from apimachinery import times
from apimachinery.clock import Clock
from apiserver import negotiate, version
from apiserver.app import App, PathHandler
from apiserver.filters.base import Request
from apiserver.filters.errors import page_not_found
from serving.health import Check, Health
from serving.metrics import CONTENT_TYPE, Gauge, Metrics
from serving.reply import Reply

_HOOKS = (  # in the order in which the original lists them
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter",
    "storage-object-count-tracker-hook",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "peer-endpoint-reconciler-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "storage-readiness",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "start-kubernetes-service-cidr-controller",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-wait-for-first-sync",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
    "apiservice-openapi-controller",
    "apiservice-openapiv3-controller",
)
_REGISTERED_AFTER = "kube-apiserver-autoregistration"
_TEXT = "text/plain; charset=utf-8"
_DEBUG_ONLY = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for "
    "debugging purposes only."
)


class SelfInfo:
    """Registers its paths with an App. storage: None, or what is wrong with the store."""

    def __init__(
        self, app: App, clock: Clock, config: Any, storage: Check, group_paths: Callable[[], Iterable[str]]
    ) -> None:
        self._app = app
        self._clock = clock
        self._config = config
        self._group_paths = group_paths
        self._begun = clock.time()
        self.metrics = Metrics()
        self.started = False  # everything but the hooks in `pending`
        self.ending = False
        self.pending: set[str] = set()
        self.health = {name: self._checks(name, storage) for name in ("healthz", "livez", "readyz")}
        for name, health in self.health.items():
            app.add_prefix(f"/{name}", _health_handler(name, health))
        app.add_path("/version", self._version)
        for path, handler in self._handlers().items():
            app.add_path(path, handler, (), slashes=False)
        self.metrics.add(Gauge("kubernetes_build_info", "Version of this server.", ("git_version",), _build_info))

    def _checks(self, name: str, storage: Check) -> Health:
        health = Health(name)
        health.add("log", lambda: None)
        if name == "readyz":
            health.add("informer-sync", self._has_started)
        else:
            health.add("loopback-serving-certificate", lambda: None)
            health.add("etcd", storage)
        for hook in _HOOKS:
            health.add(f"poststarthook/{hook}", self._hook_check(hook))
            if hook == _REGISTERED_AFTER:
                health.add("autoregister-completion", self._has_started)
        if name == "readyz":
            health.add("shutdown", lambda: "process is shutting down" if self.ending else None)
        return health

    def _has_started(self) -> str | None:
        return None if self.started else "not finished"

    def _hook_check(self, hook: str) -> Check:
        return lambda: "not finished" if hook in self.pending else self._has_started()

    def _handlers(self) -> Mapping[str, PathHandler]:
        return {
            "/": self._root,
            "/metrics": self._metrics,
            "/metrics/slis": self._slis,
            "/statusz": self._statusz,
            "/flagz": self._flagz,
        }

    async def _root(self, request: Request) -> Reply:
        paths = {path for path in self._app.paths if path != "/"} | set(self._group_paths()) | {"/openapi/v3/"}
        for name, health in self.health.items():
            paths.add(f"/{name}")
            paths.update(f"/{name}/{check}" for check in health.checks)
        return Reply(200, orjson.dumps({"paths": sorted(paths)}, option=orjson.OPT_INDENT_2))

    async def _version(self, request: Request) -> Reply:
        negotiate.check_route(request, (negotiate.JSON,))
        return Reply(200, orjson.dumps(version.document(), option=orjson.OPT_INDENT_2))

    async def _metrics(self, request: Request) -> Reply:
        return Reply(200, self.metrics.render(), CONTENT_TYPE)

    async def _slis(self, request: Request) -> Reply:
        if request.method == "DELETE":
            return Reply(200, b"metrics reset\n", _TEXT)

        def read() -> dict[tuple[str, ...], float]:
            return {
                (check, name): float(health.checks[check]() is None)
                for name, health in self.health.items()
                for check in health.checks
            }

        slis = Metrics()
        text = "This metric records the result of a single healthcheck."
        slis.add(Gauge("kubernetes_healthcheck", text, ("name", "type"), read))
        return Reply(200, slis.render(), CONTENT_TYPE)

    async def _statusz(self, request: Request) -> Reply:
        up = int(self._clock.time() - self._begun)
        lines = [
            "\nkube-apiserver statusz",
            _DEBUG_ONLY + "\n",
            f"Started: {times.format_time(self._begun)}",
            f"Up: {up // 3600} hr {up // 60 % 60:02d} min {up % 60:02d} sec",
            f"Go version: {version.document()['goVersion']}",
            f"Binary version: {version.MAJOR}.{version.MINOR}.{version.PATCH}",
            f"Emulation version: {version.MAJOR}.{version.MINOR}",
            "Paths: " + " ".join(sorted(path for path in self._app.paths if not path.startswith("/api"))) + "\n",
        ]
        return Reply(200, "\n".join(lines).encode(), _TEXT)

    async def _flagz(self, request: Request) -> Reply:
        lines = ["\nkube-apiserver flagz", _DEBUG_ONLY + "\n"]
        lines += [f"{flag}={value}" for flag, value in sorted(_flags(self._config))]
        return Reply(200, ("\n".join(lines) + "\n").encode(), _TEXT)


def _flags(config: Any) -> Iterable[tuple[str, str]]:
    """Flags and values; a configuration holds paths of secrets, never secrets."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flags(value)
        elif isinstance(value, (list, tuple)):
            yield field.name.replace("_", "-"), ",".join(map(str, value))
        elif value is None or isinstance(value, (str, int, float, bool, Path)):
            yield field.name.replace("_", "-"), "" if value is None else str(value)


def _build_info() -> dict[tuple[str, ...], float]:
    return {(version.GIT_VERSION,): 1.0}


def _health_handler(name: str, health: Health) -> PathHandler:
    prefix = f"/{name}"

    async def answer(request: Request) -> Reply:
        tail = request.info.path[len(prefix) :]
        reply = health.answer(tail, request.query) if tail != "/" else None
        if reply is None:
            raise page_not_found()
        return reply

    return answer
