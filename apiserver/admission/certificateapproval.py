"""CertificateApproval: who approves or denies a certificate request needs the right to do so for its signer."""

from __future__ import annotations

from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.authn.user import User
from apiserver.authz.base import Attributes as Question
from apiserver.authz.base import Authorizer

GROUP = "certificates.k8s.io"
REQUESTS = "certificatesigningrequests"


async def may_use_signer(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """Whether the user has the verb on the signer itself, or on all signers of its domain."""
    question = Question(user, verb, GROUP, "*", "signers", name=signer)
    if (await authorizer.authorize(question)).allowed:
        return True
    domain = signer.partition("/")[0]
    question = Question(user, verb, GROUP, "*", "signers", name=f"{domain}/*")
    return (await authorizer.authorize(question)).allowed


class Plugin:
    def __init__(self, env: Env) -> None:
        self._authorizer = env.authorizer

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "UPDATE" and (group, plural, subresource) == (GROUP, REQUESTS, "approval")

    async def validate(self, a: Attributes) -> None:
        signer = ((a.old or {}).get("spec") or {}).get("signerName") or ""
        if not await may_use_signer(self._authorizer, a.user, "approve", signer):
            raise forbidden(a, f"user not permitted to approve requests with signerName {go_quote(signer)}")
