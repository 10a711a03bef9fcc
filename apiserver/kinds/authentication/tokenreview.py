"""TokenReview of authentication.k8s.io/v1: whose token is this?"""

from __future__ import annotations

from apiserver.registry.kind import Ctx, Kind, Obj


class TokenReview(Kind):
    group = "authentication.k8s.io"
    kind = "TokenReview"
    plural = "tokenreviews"
    namespaced = False
    verbs = ("create",)
    stored = False

    async def answer(self, ctx: Ctx, obj: Obj) -> Obj:
        answered: Obj = await ctx.services["token-review"](ctx, obj)
        return answered
