"""Endpoints whose body is not an object of the kind they belong to, one file each.

SUBRESOURCES: (group, plural, subresource) -> method -> handler; an empty group and plural stand for every kind.
VIRTUAL: (group, plural) of a kind that is not stored -> (methods of its collection, methods of an object).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from apiserver.filters.base import Request
from apiserver.handlers.scope import Scope
from apiserver.handlers.subresources import binding, component_status, eviction, scale, token
from serving.reply import Reply

Endpoint = Callable[[Scope, Request], Awaitable[Reply]]
Endpoints = Mapping[str, Endpoint]

SUBRESOURCES: Mapping[tuple[str, str, str], Endpoints] = {
    ("", "", "scale"): scale.ENDPOINTS,
    ("", "pods", "binding"): binding.ENDPOINTS,
    ("", "pods", "eviction"): eviction.ENDPOINTS,
    ("", "serviceaccounts", "token"): token.ENDPOINTS,
}

VIRTUAL: Mapping[tuple[str, str], tuple[Endpoints, Endpoints]] = {
    ("", "bindings"): (binding.ENDPOINTS, {}),
    ("", "componentstatuses"): (component_status.COLLECTION, component_status.ITEM),
}
