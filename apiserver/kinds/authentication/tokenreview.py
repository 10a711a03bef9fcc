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
        status = answered.get("status") or {}
        if status.get("error"):
            status["error"] = _with_loopback(status["error"])
        return answered


def _with_loopback(problem: str) -> str:
    """What is wrong with a token, after what the original's own client's authenticator says of it, which it asks first."""
    unknown = "invalid bearer token"
    if unknown in problem:
        return problem
    inner = problem[1:-1] if problem.startswith("[") and problem.endswith("]") else problem
    return f"[{unknown}, {inner}]"
