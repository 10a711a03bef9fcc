"""Kinds of the group authorization.k8s.io: questions, answered by a service and never stored."""

from __future__ import annotations

from apiserver.kinds.authorization.localsubjectaccessreview import LocalSubjectAccessReview
from apiserver.kinds.authorization.selfsubjectaccessreview import SelfSubjectAccessReview
from apiserver.kinds.authorization.selfsubjectrulesreview import SelfSubjectRulesReview
from apiserver.kinds.authorization.subjectaccessreview import SubjectAccessReview
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    LocalSubjectAccessReview(),
    SelfSubjectAccessReview(),
    SelfSubjectRulesReview(),
    SubjectAccessReview(),
)
