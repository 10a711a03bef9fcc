"""SelfSubjectRulesReview of authorization.k8s.io/v1: what may I do in that namespace?"""

from __future__ import annotations

from apiserver.registry.kind import Ctx, Kind, Obj


class SelfSubjectRulesReview(Kind):
    group = "authorization.k8s.io"
    kind = "SelfSubjectRulesReview"
    plural = "selfsubjectrulesreviews"
    namespaced = False
    verbs = ("create",)
    stored = False

    async def answer(self, ctx: Ctx, obj: Obj) -> Obj:
        answered: Obj = await ctx.services["self-subject-rules-review"](ctx, obj)
        return answered
