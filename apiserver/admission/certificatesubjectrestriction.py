"""CertificateSubjectRestriction: nobody asks the API's own client signer for a certificate of system:masters."""

from __future__ import annotations

import base64
import binascii

from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.admission.certificateapproval import GROUP, REQUESTS

_SIGNER = "kubernetes.io/kube-apiserver-client"


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation == "CREATE" and (group, plural, subresource) == (GROUP, REQUESTS, "")

    async def validate(self, a: Attributes) -> None:
        spec = (a.obj or {}).get("spec") or {}
        if spec.get("signerName") != _SIGNER:
            return
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        try:
            request = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "", validate=True))
            groups = [name.value for name in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        except (ValueError, binascii.Error) as error:
            raise forbidden(a, f"failed to parse CSR: {error}") from error
        if "system:masters" in groups:
            raise forbidden(a, f"use of {_SIGNER} signer with system:masters group is not allowed")
