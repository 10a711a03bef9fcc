"""SelfSubjectReview of authentication.k8s.io/v1: who am I?"""

from __future__ import annotations

from apiserver.registry.kind import Ctx, Kind, Obj


class SelfSubjectReview(Kind):
    group = "authentication.k8s.io"
    kind = "SelfSubjectReview"
    plural = "selfsubjectreviews"
    namespaced = False
    verbs = ("create",)
    stored = False

    async def answer(self, ctx: Ctx, obj: Obj) -> Obj:
        answered: Obj = await ctx.services["self-subject-review"](ctx, obj)
        return answered
