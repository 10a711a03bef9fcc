"""SelfSubjectAccessReview of authorization.k8s.io/v1: may I do this?"""

from __future__ import annotations

from apiserver.registry.kind import Ctx, Kind, Obj


class SelfSubjectAccessReview(Kind):
    group = "authorization.k8s.io"
    kind = "SelfSubjectAccessReview"
    plural = "selfsubjectaccessreviews"
    namespaced = False
    verbs = ("create",)
    stored = False

    async def answer(self, ctx: Ctx, obj: Obj) -> Obj:
        answered: Obj = await ctx.services["self-subject-access-review"](ctx, obj)
        return answered
