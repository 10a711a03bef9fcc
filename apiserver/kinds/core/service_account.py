"""ServiceAccount: an identity for the processes in pods."""

from __future__ import annotations

from typing import Any

from apimachinery.clock import Clock
from apiserver.kinds import cells
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Ctx, Kind, Obj, Subresource

_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_ENFORCE_WARNING = (
    "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces "
    "to isolate access to mounted secrets"
)


class ServiceAccountKind(Kind):
    kind = "ServiceAccount"
    plural = "serviceaccounts"
    revalidates_metadata = 1
    returns_deleted = True
    short_names = ("sa",)
    subresources = (
        Subresource("token", ("create",), kind="TokenRequest", group="authentication.k8s.io", version="v1"),
    )
    columns = (NAME_COLUMN, AGE_COLUMN)

    def prepare_create(self, ctx: Ctx, obj: Obj) -> None:
        _keep_secret_names(obj)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        _keep_secret_names(obj)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if not _enforces(obj) or (old is not None and _enforces(old)):
            return []
        return [_ENFORCE_WARNING]

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        return [obj["metadata"].get("name", ""), cells.age(obj, clock)]


def _keep_secret_names(account: Obj) -> None:
    """Of a reference to a secret only the name counts."""
    if secrets := account.get("secrets"):
        account["secrets"] = [{"name": secret["name"]} if secret.get("name") else {} for secret in secrets]


def _enforces(account: Obj) -> bool:
    return _ENFORCE in (account["metadata"].get("annotations") or {})


SERVICE_ACCOUNT = ServiceAccountKind()
