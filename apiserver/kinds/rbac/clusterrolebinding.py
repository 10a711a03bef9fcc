"""ClusterRoleBinding of rbac.authorization.k8s.io/v1: who has a role everywhere."""

from __future__ import annotations

from apiserver.kinds.rbac.rolebinding import RoleBinding, binding_columns


class ClusterRoleBinding(RoleBinding):
    kind = "ClusterRoleBinding"
    plural = "clusterrolebindings"
    revalidates_metadata = 1
    namespaced = False
    columns = binding_columns("clusterRoleBinding", "only reference a ClusterRole in the global namespace")
    role_kinds = ("ClusterRole",)
