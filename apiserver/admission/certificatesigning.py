"""CertificateSigning: who issues a certificate, or fails a request, needs the right to sign for its signer."""

from __future__ import annotations

from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.certificateapproval import GROUP, REQUESTS, may_use_signer


class Plugin:
    def __init__(self, env: Env) -> None:
        self._authorizer = env.authorizer

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "UPDATE" and (group, plural, subresource) == (GROUP, REQUESTS, "status")

    async def validate(self, a: Attributes) -> None:
        old, new = (a.old or {}).get("status") or {}, (a.obj or {}).get("status") or {}
        changed = (old.get("certificate") or "") != (new.get("certificate") or "") or (
            (old.get("conditions") or []) != (new.get("conditions") or [])
        )
        signer = ((a.old or {}).get("spec") or {}).get("signerName") or ""
        if changed and not await may_use_signer(self._authorizer, a.user, "sign", signer):
            raise forbidden(a, f"user not permitted to sign requests with signerName {go_quote(signer)}")
