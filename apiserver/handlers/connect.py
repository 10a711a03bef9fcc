"""Subresources that open a connection instead of answering with an object: log, exec, attach, portforward, proxy.

CONNECT names the handler of each; routing.py serves those listed here, with every method that the subresource's verbs allow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from apiserver.filters.base import Request
from apiserver.handlers import podlog, podstreams, proxy
from apiserver.handlers.scope import Scope
from serving.reply import Reply

# (group, plural, subresource) -> handler
CONNECT: dict[tuple[str, str, str], Callable[[Scope, Request], Awaitable[Reply]]] = {
    ("", "pods", "log"): podlog.log,
    ("", "pods", "exec"): podstreams.execute,
    ("", "pods", "attach"): podstreams.attach,
    ("", "pods", "portforward"): podstreams.portforward,
    ("", "pods", "proxy"): proxy.pod,
    ("", "services", "proxy"): proxy.service,
    ("", "nodes", "proxy"): proxy.node,
}
