"""ClusterTrustBundleAttest: who publishes a signer's trust anchors needs the right to attest for it."""

from __future__ import annotations

from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.certificateapproval import GROUP, may_use_signer


class Plugin:
    def __init__(self, env: Env) -> None:
        self._authorizer = env.authorizer

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and (group, plural, subresource) == (GROUP, "clustertrustbundles", "")

    async def validate(self, a: Attributes) -> None:
        new, old = (a.obj or {}).get("spec") or {}, (a.old or {}).get("spec") or {}
        if a.operation == "UPDATE" and new == old:
            return  # the garbage collector and others who change metadata alone
        signer = new.get("signerName") or ""
        if signer and not await may_use_signer(self._authorizer, a.user, "attest", signer):
            raise forbidden(a, f"user not permitted to attest for signerName {go_quote(signer)}")
