"""ClusterRole of rbac.authorization.k8s.io/v1: permissions in all namespaces, on cluster objects and on paths."""

from __future__ import annotations

from apiserver.registry.kind import Kind
from apiserver.validation import names


class ClusterRole(Kind):
    group = "rbac.authorization.k8s.io"
    kind = "ClusterRole"
    plural = "clusterroles"
    namespaced = False
    create_on_update = True

    def validate_name(self, name: str, prefix: bool) -> list[str]:
        return names.path_segment(name, prefix)
