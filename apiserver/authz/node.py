"""The Node authorizer: a node agent reaches what its own pods need, and nothing of other nodes.

Requests of users system:node:<name> in the group system:nodes are decided by the graph of authz/nodegraph.py where they
concern particular objects, and by the fixed rules of the role system:node otherwise. What a node may write into the
objects it may reach is for admission (NodeRestriction).
"""

from __future__ import annotations

from apimachinery.field import go_quote
from apiserver.authn.user import User
from apiserver.authz.base import NO_OPINION, Attributes, Decision, Rules
from apiserver.authz.nodegraph import NodeGraph
from apiserver.authz.rules import Rule

_ALLOW = Decision("allow")
_PREFIX = "system:node:"
_GROUP = "system:nodes"


def node_name(user: User) -> str | None:
    """The node that a user is; "" for a node agent without a name; None for everybody else."""
    if not user.name.startswith(_PREFIX) or _GROUP not in user.groups:
        return None
    return user.name[len(_PREFIX) :]


def _no(reason: str = "") -> Decision:
    return Decision("none", reason)


class NodeAuthorizer:
    def __init__(self, graph: NodeGraph, rules: tuple[Rule, ...]) -> None:
        self._graph = graph
        self._rules = rules

    async def rules(self, user: User, namespace: str) -> Rules:
        if node_name(user) is None:
            return Rules()
        return Rules(incomplete=True, problems=("node authorizer does not support user rule resolution",))

    async def authorize(self, a: Attributes) -> Decision:
        node = node_name(a.user)
        if node is None:
            return NO_OPINION
        if not node:
            return _no(f"unknown node for user {go_quote(a.user.name)}")
        if a.resource_request:
            decision = await self._particular(node, a)
            if decision is not None:
                return decision
            combined = f"{a.plural}/{a.subresource}" if a.subresource else a.plural
            if any(
                rule.allows_resource(a.verb, a.group, combined, a.subresource)
                and (not rule.names or a.name in rule.names)
                for rule in self._rules
            ):
                return _ALLOW
        elif any(rule.allows_path(a.verb, a.path) for rule in self._rules):
            return _ALLOW
        return NO_OPINION

    async def _particular(self, node: str, a: Attributes) -> Decision | None:
        """Resources that are divided among the nodes; None for the others."""
        match (a.group, a.plural):
            case ("", "secrets" | "configmaps"):
                return await self._read(node, a)
            case ("", "persistentvolumeclaims") if a.subresource == "status":
                if a.verb not in ("update", "patch"):
                    return _no("can only get/update/patch this type")
                return await self._related(node, a)
            case (
                ("", "persistentvolumeclaims")
                | ("", "persistentvolumes")
                | ("resource.k8s.io", "resourceclaims")
                | ("storage.k8s.io", "volumeattachments")
            ):
                return await self._get(node, a)
            case ("", "serviceaccounts"):
                return await self._service_account(node, a)
            case ("coordination.k8s.io", "leases"):
                return self._lease(node, a)
            case ("storage.k8s.io", "csinodes"):
                return self._csi_node(node, a)
            case ("resource.k8s.io", "resourceslices"):
                return await self._slice(node, a)
            case ("", "nodes"):
                return self._node(node, a)
            case ("", "pods"):
                return await self._pod(node, a)
        return None

    async def _related(self, node: str, a: Attributes) -> Decision:
        if not a.name:
            return _no("No Object name found")
        if not self._graph.current:
            await self._graph.refresh()
        if self._graph.leads_to(node, a.plural, a.namespace, a.name):
            return _ALLOW
        return _no(f"no relationship found between node '{node}' and this object")

    async def _get(self, node: str, a: Attributes) -> Decision:
        if a.verb != "get":
            return _no("can only get individual resources of this type")
        if a.subresource:
            return _no("cannot get subresource")
        return await self._related(node, a)

    async def _read(self, node: str, a: Attributes) -> Decision:
        if a.verb not in ("get", "list", "watch"):
            return _no("can only read resources of this type")
        if a.subresource:
            return _no("cannot read subresource")
        if not a.namespace:
            return _no("can only read namespaced object of this type")
        return await self._related(node, a)

    async def _service_account(self, node: str, a: Attributes) -> Decision:
        if a.verb == "get" and not a.subresource:
            return await self._related(node, a)
        if a.verb != "create" or not a.name:
            return _no("can only create tokens for individual service accounts")
        if a.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return await self._related(node, a)

    def _lease(self, node: str, a: Attributes) -> Decision:
        if a.verb not in ("get", "create", "update", "patch", "delete"):
            return _no("can only get, create, update, patch, or delete a node lease")
        if a.namespace != "kube-node-lease":
            return _no('can only access leases in the "kube-node-lease" system namespace')
        # Authorisation does not know the name of what is created; admission does.
        if a.verb != "create" and a.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return _ALLOW

    def _csi_node(self, node: str, a: Attributes) -> Decision:
        if a.verb not in ("get", "create", "update", "patch", "delete"):
            return _no("can only get, create, update, patch, or delete a CSINode")
        if a.subresource:
            return _no("cannot authorize CSINode subresources")
        if a.verb != "create" and a.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return _ALLOW

    async def _slice(self, node: str, a: Attributes) -> Decision:
        if a.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if a.verb == "create":
            return _ALLOW
        if a.verb in ("get", "update", "patch", "delete"):
            return await self._related(node, a)
        if a.verb in ("watch", "list", "deletecollection"):
            if a.field_selector is not None and a.field_selector.exact("spec.nodeName") == node:
                return _ALLOW
            return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return _no(
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _node(self, node: str, a: Attributes) -> Decision:
        if not a.subresource:
            if a.verb in ("create", "update", "patch"):
                return _ALLOW
            if a.verb in ("get", "list", "watch"):
                if a.name == node:
                    return _ALLOW
                if not a.name:
                    return _no(f"node '{node}' cannot read all nodes, only its own Node object")
                return _no(f"node '{node}' cannot read '{a.name}', only its own Node object")
        elif a.subresource == "status" and a.verb in ("update", "patch"):
            return _ALLOW
        return NO_OPINION

    async def _pod(self, node: str, a: Attributes) -> Decision:
        if not a.subresource:
            if a.verb == "get":
                return await self._get(node, a)
            if a.verb in ("list", "watch"):
                if a.field_selector is not None and a.field_selector.exact("spec.nodeName") == node:
                    return _ALLOW
                if a.name:
                    return await self._related(node, a)
                return _no("can only list/watch pods with spec.nodeName field selector")
            if a.verb in ("create", "delete"):
                return _ALLOW
        elif (a.subresource == "status" and a.verb in ("update", "patch")) or (
            a.subresource == "eviction" and a.verb == "create"
        ):
            return _ALLOW
        return NO_OPINION
