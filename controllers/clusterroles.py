"""ClusterRoles with an aggregation rule get the rules of all ClusterRoles that it selects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from apimachinery import meta, selectors
from client.resources import CLUSTER_ROLES
from controllers.base import Controller, Result, Rule

Obj = dict[str, Any]


def aggregate(role: Obj, everyone: Iterable[Obj]) -> list[Obj]:
    """The rules that the role should have, each once, in the order of role names."""
    ordered = sorted((other for other in everyone if meta.name(other) != meta.name(role)), key=meta.name)
    rules: list[Obj] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        parsed = selectors.from_object(selector)
        for other in ordered:
            if parsed.matches(meta.labels(other)):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


class ClusterRoleAggregationController(Controller):
    name = "clusterrole-aggregation-controller"
    aliases = ("clusterrole-aggregation",)
    source = "clusterrole-aggregation-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            ("rbac.authorization.k8s.io",), ("clusterroles",), ("escalate", "get", "list", "patch", "update", "watch")
        ),
    )

    def setup(self) -> None:
        self.workers = 5
        self._roles = self.watch(CLUSTER_ROLES)
        self._roles.add_handler(added=self._changed, updated=lambda old, new: self._changed(new), deleted=self._changed)

    def _changed(self, role: Obj) -> None:
        """Any role may be part of any that aggregates."""
        for other in self._roles.list():
            if other.get("aggregationRule"):
                self.enqueue_object(other)

    async def reconcile(self, key: str) -> Result | None:
        role = self._roles.get(key)
        if role is None or not role.get("aggregationRule"):
            return None
        wanted = aggregate(role, self._roles.list())
        if wanted == (role.get("rules") or []):
            return None
        applied = {
            "apiVersion": CLUSTER_ROLES.api_version,
            "kind": CLUSTER_ROLES.kind,
            "metadata": {"name": key},
            "rules": wanted,
        }
        await self.client.patch(
            CLUSTER_ROLES, key, applied, content_type="apply", field_manager=self.source, force=True
        )
        return None
