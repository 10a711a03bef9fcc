"""SubjectAccessReview of authorization.k8s.io/v1: may that user do this?"""

from __future__ import annotations

from apiserver.registry.kind import Ctx, Kind, Obj


class SubjectAccessReview(Kind):
    group = "authorization.k8s.io"
    kind = "SubjectAccessReview"
    plural = "subjectaccessreviews"
    namespaced = False
    verbs = ("create",)
    stored = False

    async def answer(self, ctx: Ctx, obj: Obj) -> Obj:
        answered: Obj = await ctx.services["subject-access-review"](ctx, obj)
        return answered
