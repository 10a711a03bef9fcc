"""MutatingWebhookConfiguration of admissionregistration.k8s.io/v1: webhooks that change writes."""

from __future__ import annotations

from apiserver.kinds.admissionregistration.validatingwebhookconfiguration import ValidatingWebhookConfiguration


class MutatingWebhookConfiguration(ValidatingWebhookConfiguration):
    kind = "MutatingWebhookConfiguration"
    plural = "mutatingwebhookconfigurations"
    mutating = True
