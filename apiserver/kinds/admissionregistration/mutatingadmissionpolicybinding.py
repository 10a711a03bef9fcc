"""MutatingAdmissionPolicyBinding of admissionregistration.k8s.io/v1: where a mutating policy holds."""

from __future__ import annotations

from apiserver.kinds.admissionregistration.validatingadmissionpolicybinding import ValidatingAdmissionPolicyBinding


class MutatingAdmissionPolicyBinding(ValidatingAdmissionPolicyBinding):
    kind = "MutatingAdmissionPolicyBinding"
    plural = "mutatingadmissionpolicybindings"
    has_actions = False
