"""Kinds of the group admissionregistration.k8s.io."""

from __future__ import annotations

from apiserver.kinds.admissionregistration.mutatingadmissionpolicy import MutatingAdmissionPolicy
from apiserver.kinds.admissionregistration.mutatingadmissionpolicybinding import MutatingAdmissionPolicyBinding
from apiserver.kinds.admissionregistration.mutatingwebhookconfiguration import MutatingWebhookConfiguration
from apiserver.kinds.admissionregistration.validatingadmissionpolicy import ValidatingAdmissionPolicy
from apiserver.kinds.admissionregistration.validatingadmissionpolicybinding import ValidatingAdmissionPolicyBinding
from apiserver.kinds.admissionregistration.validatingwebhookconfiguration import ValidatingWebhookConfiguration
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    MutatingAdmissionPolicy(),
    MutatingAdmissionPolicyBinding(),
    MutatingWebhookConfiguration(),
    ValidatingAdmissionPolicy(),
    ValidatingAdmissionPolicyBinding(),
    ValidatingWebhookConfiguration(),
)
