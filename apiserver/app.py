"""The table of contents of a request: FILTERS in order, then dispatch of (group, version, resource, subresource, method) to a
handler, or of a path outside the API groups to whoever registered it.

Kinds come and go at run time (custom resources), so the tables are plain dicts that add_kind() and remove_kind() change.
Refuses to know storage, authentication or admission: server.py puts those together and hands them in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp.web_request import BaseRequest

from apimachinery import errors
from apimachinery import field as field_errors
from apimachinery.clock import Clock
from apiserver.columns import ColumnDefinitions
from apiserver.filters.base import Filter, Proceed, Request
from apiserver.filters.errors import method_not_allowed, page_not_found, route_not_found
from apiserver.handlers.scope import Scope
from apiserver.registry.kind import Kind
from apiserver.requestinfo import RequestInfo
from serving.reply import Reply

if TYPE_CHECKING:
    from apiserver.authz.base import Authorizer
    from apiserver.patch.managed import FieldManager
    from apiserver.registry.store import Store
    from openapi.schemas import TypeInfo

# Outermost first. server.py builds each from its module and gives them to App in this order; a test pins it.
FILTERS: tuple[tuple[str, str], ...] = (
    ("errors", "first: draws every error, its own audit id and the warnings of all that follow"),
    ("metrics", "after errors, which needs no counting; before all that may refuse"),
    ("deadline", "before anything that may wait"),
    ("authn", "before all that ask who it is"),
    ("audit", "after authn: it records who really asks; before all that may refuse. Only there with a policy"),
    ("impersonation", "after authn and before all that judge the user: they judge the impersonated one"),
    ("fairness", "after impersonation: shares are the effective user's; before authz, which costs work"),
    ("authz", "last: nothing but the handler comes after it"),
)

Endpoint = Callable[[Scope, Request], Awaitable[Reply]]
PathHandler = Callable[[Request], Awaitable[Reply]]
Methods = dict[str, tuple[Scope, Endpoint]]

_MUTATING = frozenset(("POST", "PUT", "PATCH", "DELETE"))


@dataclass
class Routes:
    """How one resource is reached. everywhere: a namespaced resource's collection without a namespace in the path."""

    kind: Kind
    version: str
    collection: Methods = field(default_factory=dict)
    everywhere: Methods = field(default_factory=dict)
    item: Methods = field(default_factory=dict)
    subresources: dict[str, Methods] = field(default_factory=dict)
    subpaths: frozenset[str] = frozenset()
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A path outside the groups' resources. methods: empty for any. slashes: it may end in slashes."""

    handler: PathHandler
    methods: frozenset[str]
    slashes: bool


@dataclass(eq=False)
class Server:
    """What scopes and handlers need of the server around them. Filled in by server.py."""

    clock: Clock
    authorizer: Authorizer
    services: Mapping[str, Any]
    current_revision: Callable[[], int]
    type_of: Callable[[Kind, str], TypeInfo]
    managers_of: Callable[[Scope], FieldManager]
    columns: ColumnDefinitions
    min_watch_seconds: float  # a watch without timeoutSeconds ends after one to two times this, at random
    store_of: Callable[[str, str], Store]
    scope_of: Callable[[str, str, str, str], Scope]

    @property
    def revision(self) -> int:
        """The store's newest revision."""
        return self.current_revision()

    @staticmethod
    def copy(obj: dict[str, Any]) -> dict[str, Any]:
        """An object that can be changed without changing this one."""
        copied: dict[str, Any] = orjson.loads(orjson.dumps(obj))
        return copied


class App:
    """Filters, then dispatch. handle() is what the HTTP listener calls."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.routes: dict[tuple[str, str, str], Routes] = {}
        self.group_versions: set[tuple[str, str]] = set()
        self.built_in: set[str] = set()  # groups that are not of custom resources alone
        self.paths: dict[str, Path] = {}
        self.prefixes: list[tuple[str, PathHandler]] = []
        self.remote: Collection[tuple[str, str]] = ()  # group versions of other servers
        self.delegate: PathHandler | None = None  # who answers for those
        self._proceed: Proceed = self.dispatch
        self._writes: set[asyncio.Task[Reply]] = set()

    def use(self, filters: Sequence[Filter]) -> None:
        """Put the filters around dispatch, outermost first."""
        proceed: Proceed = self.dispatch
        for stage in reversed(filters):
            proceed = _Stage(stage, proceed)
        self._proceed = proceed

    async def handle(self, http: BaseRequest) -> Reply:
        return await self._proceed(Request(http, self.clock.monotonic()))

    # -- tables

    def add_routes(self, routes: Routes) -> None:
        kind = routes.kind
        self.routes[kind.group, routes.version, kind.plural] = routes
        self.group_versions.add((kind.group, routes.version))
        if not kind.custom:
            self.built_in.add(kind.group)

    def remove_routes(self, group: str, version: str, plural: str) -> None:
        self.routes.pop((group, version, plural), None)
        if not any(key[:2] == (group, version) for key in self.routes):
            self.group_versions.discard((group, version))

    def add_path(
        self, path: str, handler: PathHandler, methods: Sequence[str] = ("GET",), *, slashes: bool = True
    ) -> None:
        """Serve this path. methods: empty for any. slashes: with slashes at its end too."""
        self.paths[path] = Path(handler, frozenset(methods), slashes)

    def add_prefix(self, prefix: str, handler: PathHandler) -> None:
        """Serve every path that begins so; longer prefixes win."""
        self.prefixes.append((prefix, handler))
        self.prefixes.sort(key=lambda entry: -len(entry[0]))

    # -- dispatch

    async def dispatch(self, request: Request) -> Reply:
        info = request.info
        if self.remote and self.delegate is not None and group_version(request) in self.remote:
            return await self.delegate(request)
        if not info.is_resource:
            return await self._path(request)
        routes = self.routes.get((info.group, info.version, info.resource))
        if routes is None or info.bad:
            return await self._unknown(request)
        methods = self._methods(routes, info)
        if not methods:
            if routes.kind.custom and info.subresource and routes.kind.namespaced == bool(info.namespace):
                raise errors.not_found(info.group, info.resource, info.name)
            return await self._unknown(request)
        found = methods.get(request.method)
        if found is None:
            found = _custom_endpoint(routes, methods, request) if routes.kind.custom else None
        if found is None:
            raise method_not_allowed()
        if info.odd_name:
            raise _odd_name(info.name)
        scope, endpoint = found
        if routes.warning:
            request.warnings.append(routes.warning)
        if request.method not in _MUTATING or info.long_running:  # a stream ends with its client, whatever opened it
            return await endpoint(scope, request)
        # A client that goes away must not tear a write in the middle: between an allocation and its object.
        task = asyncio.ensure_future(endpoint(scope, request))
        self._writes.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Reply]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that the loop does not report what the client is told anyway

    def _methods(self, routes: Routes, info: RequestInfo) -> Methods | None:
        parts, namespaced, inside = info.parts, routes.kind.namespaced, info.inside
        if info.proxy_prefix or (inside and not namespaced):
            return None
        if info.watch_prefix:
            if len(parts) > 2 or (len(parts) == 2 and namespaced and not inside):
                return None
            watched = routes.everywhere if namespaced and not inside else routes.collection
            return {"GET": watched["GET"]} if "GET" in watched and "watch" in routes.kind.verbs else None
        if len(parts) == 1:
            return routes.everywhere if namespaced and not inside else routes.collection
        if namespaced and not inside:
            return None
        if len(parts) == 2:
            return routes.item
        if len(parts) > 3 and info.subresource not in routes.subpaths and not routes.kind.custom:
            return None
        return routes.subresources.get(info.subresource)

    async def _path(self, request: Request) -> Reply:
        path = request.info.path  # decoded, as it was authorised
        entry = self.paths.get(path)
        if entry is None and path.endswith("/"):
            entry = self.paths.get(path.rstrip("/"))
            if entry is not None and not entry.slashes:
                entry = None
        if entry is not None:
            if entry.methods and request.method not in entry.methods:
                raise method_not_allowed()
            return await entry.handler(request)
        for prefix, prefix_handler in self.prefixes:
            if path.startswith(prefix):
                return await prefix_handler(request)
        return await self._unknown(request)

    async def _unknown(self, request: Request) -> Reply:
        """404: a Status inside the built-in groups, plain text elsewhere."""
        path = request.raw_path
        known = path.startswith("/api/") or any(path.startswith(f"/apis/{group}/") for group in self.built_in if group)
        raise route_not_found() if known else page_not_found()


def group_version(request: Request) -> tuple[str, str]:
    """What a request below /apis is for, ("", "") elsewhere."""
    info = request.info
    if info.is_resource:
        return (info.group, info.version)
    parts = request.raw_path.split("/", 4)
    return (parts[2], parts[3]) if len(parts) > 3 and parts[1] == "apis" else ("", "")


def _custom_endpoint(routes: Routes, methods: Methods, request: Request) -> tuple[Scope, Endpoint] | None:
    """What answers a method that has no route: custom resources are not behind the original's router, but told by their verbs."""
    info, method = request.info, request.method
    if method == "HEAD" and "GET" in methods:
        return methods["GET"]
    if routes.kind.namespaced and not info.namespace:
        raise page_not_found()
    if not info.name and method in ("PUT", "PATCH"):
        raise errors.bad_request("name must be provided")
    if info.name and not info.subresource and method == "POST":
        return routes.collection.get("POST")
    raise errors.method_not_supported(info.group, info.resource, info.verb)


def _odd_name(name: str) -> errors.ApiError:
    """400: a name that would leave its place in the store."""
    problem = "may not contain '%'" if "%" in name else f"may not be '{name}'"
    return errors.bad_request(f"Name parameter invalid: {field_errors.go_quote(name)}: {problem}")


class _Stage:
    """A filter bound to what comes after it."""

    __slots__ = ("_proceed", "_stage")

    def __init__(self, stage: Filter, proceed: Proceed) -> None:
        self._stage = stage
        self._proceed = proceed

    def __call__(self, request: Request) -> Awaitable[Reply]:
        return self._stage(request, self._proceed)
