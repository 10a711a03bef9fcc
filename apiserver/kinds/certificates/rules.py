"""What a CertificateSigningRequest may say, and how it may change (the original's apis/certificates/validation)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.registry.kind import Obj
from apiserver.validation import meta, names

_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_MIN_SECONDS = 600
_SIGNER_LIMIT = 571
_FINAL = ("Approved", "Denied", "Failed")
_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_PEM = re.compile(rb"-----BEGIN ([^\r\n]*)-----\s*?\n(.*?)\n?-----END \1-----[ \t]*(?:\r?\n|$)", re.DOTALL)


def validate(obj: Obj, old: Obj | None) -> list[FieldError]:
    """The whole object; faults that the stored one has are let through."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    stored = (old.get("spec") or {}) if old is not None else {}
    errors: list[FieldError] = []
    request = spec.get("request")
    if text := _request_fault(request):
        errors.append(field.invalid("spec.request", request, text))
    errors += _usages(spec.get("usages") or (), stored.get("usages") or ())
    signer = spec.get("signerName") or ""
    if signer == _LEGACY_SIGNER and stored.get("signerName") != _LEGACY_SIGNER:
        text = "the legacy signerName is not allowed via this API version"
        errors.append(field.invalid("spec.signerName", signer, text))
    else:
        errors += validate_signer_name(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _MIN_SECONDS:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(field.invalid("spec.expirationSeconds", seconds, text))
    before = (old.get("status") or {}) if old is not None else {}
    errors += _conditions(status.get("conditions") or (), before.get("conditions") or ())
    certificate = status.get("certificate")
    touched = old is None or certificate != before.get("certificate")
    if touched and not certificate_fault(before.get("certificate")) and (text := certificate_fault(certificate)):
        errors.append(field.invalid("status.certificate", "<certificate data>", text))
    return errors


def blocks(encoded: str | None) -> list[tuple[str, bytes]]:
    """(type, content) of each PEM block in a base64 value."""
    try:
        raw = base64.b64decode(encoded or "")
    except (binascii.Error, ValueError):
        return []
    return [(kind.decode(errors="replace"), body) for kind, body in _PEM.findall(raw)]


def _der(body: bytes) -> bytes | None:
    """The content of a PEM block without headers, or None."""
    if b":" in body:
        return None
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _request_fault(request: str | None) -> str:
    from cryptography import x509

    found = blocks(request)
    if not found or found[0][0] != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    der = _der(found[0][1])
    if der is None:
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        x509.load_der_x509_csr(der)
    except ValueError as problem:
        return str(problem)
    return ""


def certificate_fault(certificate: str | None) -> str:
    """Why an issued certificate is none, or ""; unset is fine."""
    from cryptography import x509

    if not certificate:
        return ""
    found = blocks(certificate)
    for kind, body in found:
        if kind != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {field.go_quote(kind)}"
        if b":" in body:
            return "no PEM block headers are permitted"
        der = _der(body)
        try:
            if der is None:
                raise ValueError
            x509.load_der_x509_certificate(der)
        except ValueError:
            return "x509: malformed certificate"
    return "" if found else "must contain at least one CERTIFICATE PEM block"


def _usages(usages: Sequence[str], stored: Sequence[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    if not usages:
        errors.append(field.required("spec.usages"))
    if all(usage in _USAGES for usage in stored):
        for position, usage in enumerate(usages):
            if usage not in _USAGES:
                errors.append(field.not_supported(f"spec.usages[{position}]", usage, _USAGES))
    if len(set(stored)) == len(stored):
        for position, usage in enumerate(usages):
            if usage in usages[:position]:
                errors.append(field.duplicate(f"spec.usages[{position}]", usage))
    return errors


def validate_signer_name(name: str, path: str) -> list[FieldError]:
    """A domain with at least two labels, a slash, and a path of DNS subdomains joined by dots."""
    if not name:
        return [field.required(path)]
    segments = name.split("/")
    if len(segments) != 2:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [field.invalid(path, name, text)]
    domain, rest = segments
    errors: list[FieldError] = []
    for label in domain.split("."):
        for text in names.dns_label(label):
            errors.append(field.invalid(path, domain, f"validating label {field.go_quote(label)}: {text}"))
    if "." not in domain:
        errors.append(field.invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    for label in rest.split("."):
        for text in names.dns_subdomain(label):
            errors.append(field.invalid(path, rest, f"validating label {field.go_quote(label)}: {text}"))
    if len(name) > _SIGNER_LIMIT:
        errors.append(field.too_long(path, _SIGNER_LIMIT))
    return errors


def _conditions(conditions: Sequence[Obj], stored: Sequence[Obj]) -> list[FieldError]:
    errors: list[FieldError] = []
    before = [condition.get("type") or "" for condition in stored]
    seen: set[str] = set()
    for position, condition in enumerate(conditions):
        path = f"status.conditions[{position}]"
        kind, value = condition.get("type") or "", condition.get("status") or ""
        if not kind and "" not in before:
            errors.append(field.required(path + ".type"))
        allowed = ["True"] if kind in _FINAL else ["False", "True", "Unknown"]
        if not value:
            errors.append(field.required(path + ".status"))
        elif value not in allowed:
            errors.append(field.not_supported(path + ".status", value, allowed))
        other = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if other in seen and not {"Approved", "Denied"} <= set(before):
            text = "Approved and Denied conditions are mutually exclusive"
            errors.append(field.invalid("status.conditions", kind, text))
        if kind in seen and len(set(before)) == len(before):
            errors.append(field.duplicate(path + ".type", kind))
        seen.add(kind)
    return errors


def validate_change(obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
    """Decisions stay, only the approval subresource adds them, only the status subresource sets a certificate, once."""
    errors: list[FieldError] = []
    now, then = obj.get("status") or {}, old.get("status") or {}
    for kind in _FINAL:
        ours, theirs = _of_type(now, kind), _of_type(then, kind)
        if len(ours) < len(theirs):
            errors.append(_forbidden(f"updates may not remove a condition of type {field.go_quote(kind)}"))
        elif kind != "Failed" and subresource != "approval":
            if len(ours) > len(theirs):
                errors.append(_forbidden(f"updates may not add a condition of type {field.go_quote(kind)}"))
            elif not meta.same(ours, theirs):
                errors.append(_forbidden(f"updates may not modify a condition of type {field.go_quote(kind)}"))
    before, after = then.get("certificate"), now.get("certificate")
    if before != after and (before or after):
        if subresource != "status":
            errors.append(field.forbidden("status.certificate", "updates may not set certificate content"))
        elif before:
            text = "updates may not modify existing certificate content"
            errors.append(field.forbidden("status.certificate", text))
    return errors


def _forbidden(text: str) -> FieldError:
    return field.forbidden("status.conditions", text)


def _of_type(status: Obj, kind: str) -> list[Obj]:
    return [condition for condition in status.get("conditions") or () if condition.get("type") == kind]
