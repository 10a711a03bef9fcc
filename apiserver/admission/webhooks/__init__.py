"""Admission webhooks: MutatingAdmissionWebhook and ValidatingAdmissionWebhook.

hooks.py       which webhooks there are, and which of them a request concerns
review.py      the AdmissionReview that is sent, and what an answer must look like
caller.py      reaching a webhook: TLS, services, deadlines, and errors in the words of Go's HTTP client
mutating.py    one after the other, patches, reinvocation
validating.py  all at once, the first refusal wins
"""
