"""The AdmissionReview that a webhook gets, and what its answer must look like."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.errors import ApiError
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes
from apiserver.admission.versions import in_version, kind_of, options
from apiserver.admission.webhooks.hooks import Invocation
from apiserver.registry.kind import Obj

_VERSIONS = ("v1", "v1beta1")


class BadAnswer(Exception):
    """A webhook's answer that is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A webhook's word. patch: as bytes, b"" for none. status: the refusal's Status, or None."""

    allowed: bool
    patch: bytes
    patch_type: str
    status: Obj | None
    warnings: list[str]
    annotations: Mapping[str, str]


async def request(a: Attributes, invocation: Invocation) -> Obj:
    """The AdmissionReview, in the first of the webhook's versions that there is."""
    group, version, kind = kind_of(a)
    seen_version = invocation.version if kind and a.kind is not None and kind == a.kind.kind else version
    body: Obj = {
        "uid": str(uuid.uuid4()),
        "kind": {"group": group, "version": seen_version, "kind": kind},
        "resource": {"group": invocation.group, "version": invocation.version, "resource": invocation.plural},
    }
    if a.subresource:
        body["subResource"] = a.subresource
    body["requestKind"] = {"group": group, "version": version, "kind": kind}
    body["requestResource"] = {"group": a.group, "version": a.version, "resource": a.plural}
    if a.subresource:
        body["requestSubResource"] = a.subresource
    if a.name:
        body["name"] = a.name
    namespace = a.namespace or (a.name if (a.group, a.plural) == ("", "namespaces") else "")
    if namespace:
        body["namespace"] = namespace
    body["operation"] = a.operation
    body["userInfo"] = _user(a)
    body["object"] = in_version(a, a.obj, invocation.group, invocation.version)
    body["oldObject"] = in_version(a, a.old, invocation.group, invocation.version)
    body["dryRun"] = a.dry_run
    body["options"] = options(a)
    versions = [v for v in invocation.hook.raw.get("admissionReviewVersions") or ("v1",) if v in _VERSIONS]
    api = f"admission.k8s.io/{versions[0] if versions else 'v1'}"
    return {"kind": "AdmissionReview", "apiVersion": api, "request": body}


def _user(a: Attributes) -> Obj:
    info: Obj = {"username": a.user.name}
    if a.user.uid:
        info["uid"] = a.user.uid
    if a.user.groups:
        info["groups"] = list(a.user.groups)
    if a.user.extra:
        info["extra"] = {key: list(values) for key, values in a.user.extra.items()}
    return info


def read(sent: Obj, got: Any, *, mutating: bool) -> Answer:
    """The answer to a review. Raises BadAnswer in the original's words."""
    if not isinstance(got, dict):
        raise BadAnswer("webhook response was absent")
    response = got.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    patch_type, patch = response.get("patchType"), response.get("patch")
    if sent["apiVersion"] == "admission.k8s.io/v1":
        _check_v1(sent, got, response, patch, patch_type, mutating)
    elif patch:
        patch_type = "JSONPatch"
    if not mutating:
        patch = None
    warnings = [str(warning) for warning in response.get("warnings") or ()]
    status = response.get("status")
    annotations = response.get("auditAnnotations")
    return Answer(
        response.get("allowed") is True,
        base64.b64decode(patch) if patch else b"",
        patch_type or "",
        status if isinstance(status, dict) else None,
        warnings,
        annotations if isinstance(annotations, dict) else {},
    )


def _check_v1(sent: Obj, got: Obj, response: Obj, patch: Any, patch_type: Any, mutating: bool) -> None:
    uid = sent["request"]["uid"]
    if response.get("uid") != uid:
        raise BadAnswer(f"expected response.uid={go_quote(uid)}, got {go_quote(str(response.get('uid') or ''))}")
    if (got.get("apiVersion"), got.get("kind")) != ("admission.k8s.io/v1", "AdmissionReview"):
        shown = f"{got.get('apiVersion') or '/'}, Kind={got.get('kind') or ''}"
        raise BadAnswer(f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {shown}")
    if mutating:
        if patch and patch_type is None:
            raise BadAnswer("webhook returned response.patch but not response.patchType")
        if not patch and patch_type is not None:
            raise BadAnswer("webhook returned response.patchType but not response.patch")
        if patch_type == "":
            raise BadAnswer('webhook returned invalid response.patchType of ""')
    elif patch:
        raise BadAnswer("validating webhook may not return response.patch")
    elif patch_type is not None:
        raise BadAnswer("validating webhook may not return response.patchType")


def denial(name: str, status: Obj | None) -> ApiError:
    """The refusal that a client sees for a webhook's own."""
    status = status or {}
    denied = f"admission webhook {go_quote(name)} denied the request"
    reason, message = status.get("reason") or "", status.get("message") or ""
    if message or reason:
        text = f"{denied}: {message or reason}"
    else:
        text = f"{denied} without explanation"
    code = status.get("code")
    if not isinstance(code, int) or code < 400:
        code = 400
    details = status.get("details")
    return ApiError(code, reason, text, details=details if isinstance(details, dict) else None)
