"""LocalSubjectAccessReview of authorization.k8s.io/v1: may that user do this, in one namespace?"""

from __future__ import annotations

from apiserver.registry.kind import Ctx, Kind, Obj


class LocalSubjectAccessReview(Kind):
    group = "authorization.k8s.io"
    kind = "LocalSubjectAccessReview"
    plural = "localsubjectaccessreviews"
    namespaced = True
    verbs = ("create",)
    stored = False

    async def answer(self, ctx: Ctx, obj: Obj) -> Obj:
        answered: Obj = await ctx.services["local-subject-access-review"](ctx, obj)
        return answered
