"""Kinds of the group certificates.k8s.io."""

from __future__ import annotations

from apiserver.kinds.certificates.certificatesigningrequest import CertificateSigningRequest
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (CertificateSigningRequest(),)
