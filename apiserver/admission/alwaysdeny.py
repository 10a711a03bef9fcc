"""AlwaysDeny: refuses everything; for tests."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation, forbidden


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return True

    async def admit(self, a: Attributes) -> None:
        await self.validate(a)

    async def validate(self, a: Attributes) -> None:
        raise forbidden(a, "admission control is denying all modifications")
