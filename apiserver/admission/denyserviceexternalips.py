"""DenyServiceExternalIPs: no service claims further external addresses; those it has it may keep or give up."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation, forbidden


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and not group and plural == "services" and not subresource

    async def validate(self, a: Attributes) -> None:
        new = set(((a.obj or {}).get("spec") or {}).get("externalIPs") or ())
        old = set(((a.old or {}).get("spec") or {}).get("externalIPs") or ())
        if not new <= old:
            raise forbidden(a, "Use of external IPs is denied by admission control")
