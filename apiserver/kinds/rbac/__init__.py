"""Kinds of the group rbac.authorization.k8s.io."""

from __future__ import annotations

from apiserver.kinds.rbac.clusterrole import ClusterRole
from apiserver.kinds.rbac.clusterrolebinding import ClusterRoleBinding
from apiserver.kinds.rbac.role import Role
from apiserver.kinds.rbac.rolebinding import RoleBinding
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    ClusterRoleBinding(),
    ClusterRole(),
    RoleBinding(),
    Role(),
)
