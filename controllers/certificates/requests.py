"""What a CertificateSigningRequest asks for, and which ones a signer accepts. Pure but for reading X.509."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apimachinery import meta, times
from apimachinery.clock import Clock
from controllers.base import EVENTS_RULE, Rule

if TYPE_CHECKING:
    from cryptography import x509

Obj = dict[str, Any]

ACCOUNT = "certificate-controller"  # as which all but one of these controllers act
RULES = (
    Rule(("certificates.k8s.io",), ("certificatesigningrequests",), ("delete", "get", "list", "watch")),
    Rule(
        ("certificates.k8s.io",),
        ("certificatesigningrequests/approval", "certificatesigningrequests/status"),
        ("update",),
    ),
    Rule(("authorization.k8s.io",), ("subjectaccessreviews",), ("create",)),
    EVENTS_RULE,
)

API_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNERS = (API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)
_CLIENT_USAGES = {"digital signature", "key encipherment", "client auth"}
_SERVING_USAGES = {"digital signature", "key encipherment", "server auth"}


class Refused(Exception):
    """The signer does not sign such a request; the text goes into its Failed condition."""


# -- deciding


@dataclass(frozen=True, slots=True)
class Request:
    """What a PKCS#10 request asks for, as far as signers look at it."""

    common_name: str
    organizations: Sequence[str]
    dns_names: Sequence[str] = ()
    addresses: Sequence[str] = ()
    emails: Sequence[str] = ()
    uris: Sequence[str] = ()


def check(signer: str, request: Request, usages: Iterable[str]) -> None:
    """Refused unless the signer signs it."""
    listed = list(usages)
    if signer == API_CLIENT:
        _check_client_usages(listed)
    elif signer == KUBELET_CLIENT:
        check_kubelet_client(request, listed)
    elif signer == KUBELET_SERVING:
        _check_kubelet_serving(request, listed)


def _check_client_usages(usages: list[str]) -> None:
    for usage in usages:
        if usage not in _CLIENT_USAGES:
            raise Refused(f"invalid usage for client certificate: {usage}")
    if "client auth" not in usages:
        raise Refused("missing required usage for client certificate: client auth")


def check_kubelet_client(request: Request, usages: list[str]) -> None:
    """Refused unless it is what a kubelet asks for as its client certificate."""
    if list(request.organizations) != ["system:nodes"]:
        raise Refused("subject organization is not system:nodes")
    for names, what in (
        (request.dns_names, "DNS"),
        (request.emails, "email"),
        (request.addresses, "IP"),
        (request.uris, "URI"),
    ):
        if names:
            raise Refused(f"{what} subjectAltNames are not allowed")
    if not request.common_name.startswith("system:node:"):
        raise Refused("subject common name does not begin with system:node:")
    _check_exact(usages, _CLIENT_USAGES)


def _check_kubelet_serving(request: Request, usages: list[str]) -> None:
    if list(request.organizations) != ["system:nodes"]:
        raise Refused("subject organization is not system:nodes")
    if not request.dns_names and not request.addresses:
        raise Refused("DNS or IP subjectAltName is required")
    if request.emails:
        raise Refused("email subjectAltNames are not allowed")
    if request.uris:
        raise Refused("URI subjectAltNames are not allowed")
    if not request.common_name.startswith("system:node:"):
        raise Refused("subject common name does not begin with system:node:")
    _check_exact(usages, _SERVING_USAGES)


def _check_exact(usages: list[str], wanted: set[str]) -> None:
    """Key encipherment may be left out: keys that are not RSA cannot be used for it."""
    if set(usages) not in (wanted, wanted - {"key encipherment"}):
        raise Refused(f"usages did not match [{' '.join(sorted(wanted))}]")


def has_condition(request: Obj, *types: str) -> bool:
    return any(entry["type"] in types for entry in meta.conditions(request))


def condition(kind: str, reason: str, message: str, clock: Clock) -> Obj:
    """A condition of a request, as of now."""
    now = times.now(clock)
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    }


def read_request(pem: bytes) -> tuple[Request, x509.CertificateSigningRequest]:
    """The parsed request. ValueError when it is none, its signature is wrong, or it asks for what nobody here knows."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    parsed = x509.load_pem_x509_csr(pem)
    try:
        if not parsed.is_signature_valid:
            raise ValueError("the request's signature does not match its key")
        return _read(parsed), parsed
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error


def _read(parsed: x509.CertificateSigningRequest) -> Request:
    from cryptography import x509

    names = parsed.subject
    common = names.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    organizations = names.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    try:
        alternative = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        alternative = x509.SubjectAlternativeName([])
    return Request(
        common_name=str(common[0].value) if common else "",
        organizations=[str(entry.value) for entry in organizations],
        dns_names=alternative.get_values_for_type(x509.DNSName),
        addresses=[str(address) for address in alternative.get_values_for_type(x509.IPAddress)],
        emails=alternative.get_values_for_type(x509.RFC822Name),
        uris=alternative.get_values_for_type(x509.UniformResourceIdentifier),
    )
