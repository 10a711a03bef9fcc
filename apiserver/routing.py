"""From a kind to its routes: which handler serves which method of its collection, objects and subresources.

Called by server.py for built-in kinds and at run time for custom ones. The handler of a subresource is looked up by its
name; the generic ones serve those whose body is the object itself.
"""

from __future__ import annotations

from apiserver.app import Endpoint, Methods, Routes, Server
from apiserver.handlers import connect, create, delete, deletecollection, get, patch, review, update
from apiserver.handlers import list as list_handler
from apiserver.handlers.scope import Scope
from apiserver.handlers.subresources import SUBRESOURCES, VIRTUAL
from apiserver.registry.kind import Kind, Subresource
from apiserver.registry.store import Store

_ITEM: tuple[tuple[str, str, Endpoint], ...] = (
    ("get", "GET", get.get),
    ("update", "PUT", update.update),
    ("patch", "PATCH", patch.patch),
    ("delete", "DELETE", delete.delete),
)
_METHODS = {"get": ("GET",), "create": ("POST",), "update": ("PUT",), "patch": ("PATCH",), "delete": ("DELETE",)}


def routes_of(server: Server, kind: Kind, version: str, store: Store, *, custom: bool = False) -> Routes:
    """The routes of one version of a kind."""
    scope = Scope(server, kind, version, store, custom=custom)
    routes = Routes(kind, version, warning=kind.deprecation(version))
    if not kind.stored:
        collection, item = VIRTUAL.get((kind.group, kind.plural), ({"POST": review.review}, {}))
        routes.collection = {method: (scope, endpoint) for method, endpoint in collection.items()}
        routes.item = {method: (scope, endpoint) for method, endpoint in item.items()}
        return routes
    verbs = kind.verbs
    if "list" in verbs:
        routes.collection["GET"] = (scope, list_handler.list_)
    if "create" in verbs:
        routes.collection["POST"] = (scope, create.create)
    if "deletecollection" in verbs:
        routes.collection["DELETE"] = (scope, deletecollection.deletecollection)
    if kind.namespaced and "list" in verbs:
        routes.everywhere["GET"] = (scope, list_handler.list_)
    for verb, method, endpoint in _ITEM:
        if verb in verbs:
            routes.item[method] = (scope, endpoint)
    for subresource in kind.subresources:
        methods = _subresource(Scope(server, kind, version, store, subresource, custom), subresource)
        if methods:
            routes.subresources[subresource.name] = methods
    if "proxy" in routes.subresources:
        routes.subpaths = frozenset(("proxy",))
    return routes


def _subresource(scope: Scope, subresource: Subresource) -> Methods:
    kind = scope.kind
    key = (kind.group, kind.plural, subresource.name)
    if key in connect.CONNECT:
        methods = ["HEAD", "OPTIONS"] if subresource.name == "proxy" else []
        methods += [method for verb in subresource.verbs for method in _METHODS[verb]]
        return {method: (scope, connect.CONNECT[key]) for method in methods}
    special = SUBRESOURCES.get(key) or SUBRESOURCES.get(("", "", subresource.name))
    if special is not None:
        return {method: (scope, endpoint) for method, endpoint in special.items()}
    if subresource.kind and subresource.kind != kind.kind:
        return {}
    return {method: (scope, endpoint) for verb, method, endpoint in _ITEM if verb in subresource.verbs}
