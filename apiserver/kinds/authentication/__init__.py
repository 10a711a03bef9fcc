"""Kinds of the group authentication.k8s.io: questions, answered by a service and never stored."""

from __future__ import annotations

from apiserver.kinds.authentication.selfsubjectreview import SelfSubjectReview
from apiserver.kinds.authentication.tokenreview import TokenReview
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    SelfSubjectReview(),
    TokenReview(),
)
