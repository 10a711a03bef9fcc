"""CertificateSigningRequests: nodes' own are approved, approved ones are signed with the cluster's CA, old ones are removed.

Which requests a signer accepts, and in which words it refuses, is the original's pkg/controller/certificates. The
cryptography library is loaded when the first request is to be signed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from apimachinery import meta, times
from apimachinery.errors import ApiError
from client.resources import CERTIFICATE_SIGNING_REQUESTS, NODES, SUBJECT_ACCESS_REVIEWS
from controllers.base import EVENTS_RULE, Controller, Result, Rule, copy, gather_all, ignoring_absence

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger(__name__)

Obj = dict[str, Any]

API_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNERS = (API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)
BACKDATE = timedelta(minutes=5)
SHORTEST = 600  # seconds a certificate is valid at least
_CLIENT_USAGES = {"digital signature", "key encipherment", "client auth"}
_SERVING_USAGES = {"digital signature", "key encipherment", "server auth"}
_POLL = 3600.0
_KEPT = {"Approved": 3600.0, "Denied": 3600.0, "Failed": 3600.0}  # seconds after the decision
_PENDING_KEPT = 24 * 3600.0


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


def is_outdated(request: Obj, now: float) -> bool:
    """Whether a request may be removed: decided an hour ago, or left undecided for a day."""
    conditions = meta.conditions(request)
    for entry in conditions:
        kept = _KEPT.get(entry["type"])
        moment = entry.get("lastUpdateTime") or entry.get("lastTransitionTime")
        if kept is not None and moment and now - times.parse_time(moment) > kept:
            return True
    return not conditions and now - meta.created(request) > _PENDING_KEPT


# -- x509


def read_request(pem: bytes) -> tuple[Request, x509.CertificateSigningRequest]:
    """The parsed request. ValueError when it is none or its signature is wrong."""
    from cryptography import x509

    parsed = x509.load_pem_x509_csr(pem)
    if not parsed.is_signature_valid:
        raise ValueError("the request's signature does not match its key")
    names = parsed.subject
    common = names.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    organizations = names.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    try:
        alternative = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        alternative = x509.SubjectAlternativeName([])
    request = Request(
        common_name=str(common[0].value) if common else "",
        organizations=[str(entry.value) for entry in organizations],
        dns_names=alternative.get_values_for_type(x509.DNSName),
        addresses=[str(address) for address in alternative.get_values_for_type(x509.IPAddress)],
        emails=alternative.get_values_for_type(x509.RFC822Name),
        uris=alternative.get_values_for_type(x509.UniformResourceIdentifier),
    )
    return request, parsed


class Authority:
    """The cluster's CA: signs requests."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        self._certificate = x509.load_pem_x509_certificate(certificate)
        self._key: Any = serialization.load_pem_private_key(key, None)

    def sign(self, parsed: x509.CertificateSigningRequest, usages: Iterable[str], seconds: float, now: float) -> bytes:
        """A PEM certificate for the request, valid that long but no longer than the CA itself."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        listed = set(usages)
        begin = datetime.fromtimestamp(now, UTC) - BACKDATE
        end = min(datetime.fromtimestamp(now + seconds, UTC), self._certificate.not_valid_after_utc)
        public: Any = parsed.public_key()
        own_key: Any = self._certificate.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(parsed.subject)
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(_key_usage(listed), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own_key), critical=False)
        )
        if extended := _extended_usages(listed):
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        try:
            names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            builder = builder.add_extension(names.value, critical=names.critical)
        except x509.ExtensionNotFound:
            pass
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: set[str]) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=bool(usages & {"digital signature", "signing"}),
        content_commitment="content commitment" in usages,
        key_encipherment="key encipherment" in usages,
        data_encipherment="data encipherment" in usages,
        key_agreement="key agreement" in usages,
        key_cert_sign="cert sign" in usages,
        crl_sign="crl sign" in usages,
        encipher_only=False,
        decipher_only=False,
    )


def _extended_usages(usages: set[str]) -> list[x509.ObjectIdentifier]:
    from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

    known = {
        "any": Oid.ANY_EXTENDED_KEY_USAGE,
        "server auth": Oid.SERVER_AUTH,
        "client auth": Oid.CLIENT_AUTH,
        "code signing": Oid.CODE_SIGNING,
        "email protection": Oid.EMAIL_PROTECTION,
        "s/mime": Oid.EMAIL_PROTECTION,
        "timestamping": Oid.TIME_STAMPING,
        "ocsp signing": Oid.OCSP_SIGNING,
    }
    return list(dict.fromkeys(known[usage] for usage in sorted(usages) if usage in known))


# -- doing


_RULES = (
    Rule(("certificates.k8s.io",), ("certificatesigningrequests",), ("delete", "get", "list", "watch")),
    Rule(
        ("certificates.k8s.io",),
        ("certificatesigningrequests/approval", "certificatesigningrequests/status"),
        ("update",),
    ),
    Rule(("authorization.k8s.io",), ("subjectaccessreviews",), ("create",)),
    EVENTS_RULE,
)


class SigningController(Controller):
    name = "certificatesigningrequest-signing-controller"
    aliases = ("csrsigning",)
    source = "csrsigning"
    account = "certificate-controller"
    rules: ClassVar[Sequence[Rule]] = _RULES

    def setup(self) -> None:
        self._authority: Authority | None = None
        self._requests = self.watch_own(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(self, key: str) -> Result | None:
        request = self._requests.get(key)
        files = (self.config.cluster_signing_cert_file, self.config.cluster_signing_key_file)
        if request is None or files[0] is None or files[1] is None:
            return None
        spec = request["spec"]
        done = (request.get("status") or {}).get("certificate") or has_condition(request, "Failed", "Denied")
        if spec["signerName"] not in SIGNERS or done or not has_condition(request, "Approved"):
            return None
        changed = copy(request)
        status = changed.setdefault("status", {})
        try:
            certificate = await asyncio.to_thread(self._sign, spec)
            status["certificate"] = base64.b64encode(certificate).decode()
        except Refused as refusal:
            if spec["signerName"] == LEGACY:
                return None
            now = times.now(self.clock)
            failed = {
                "type": "Failed",
                "status": "True",
                "reason": "SignerValidationFailure",
                "message": str(refusal),
                "lastUpdateTime": now,
                "lastTransitionTime": now,
            }
            status["conditions"] = [*(status.get("conditions") or ()), failed]
        await ignoring_absence(self.client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="status"))
        return None

    def _sign(self, spec: Obj) -> bytes:
        """Runs in a thread: reads files and does arithmetic."""
        config = self.config
        assert config.cluster_signing_cert_file is not None
        assert config.cluster_signing_key_file is not None
        try:
            request, parsed = read_request(base64.b64decode(spec["request"]))
        except ValueError as error:
            raise Refused(f'unable to parse csr "{spec["signerName"]}": {error}') from error
        usages = spec.get("usages") or ()
        check(spec["signerName"], request, usages)
        if self._authority is None:
            certificate = config.cluster_signing_cert_file.read_bytes()
            self._authority = Authority(certificate, config.cluster_signing_key_file.read_bytes())
        wanted = spec.get("expirationSeconds")
        longest = config.cluster_signing_duration
        seconds = longest if wanted is None else max(SHORTEST, min(wanted, longest))
        return self._authority.sign(parsed, usages, seconds, self.clock.time())


class _Approver(Controller):
    """Approves requests after asking whether their authors may have them approved."""

    async def may(self, spec: Obj, subresource: str) -> bool:
        """Whether the requester may have such requests approved."""
        review = {
            "spec": {
                "user": spec.get("username") or "",
                "uid": spec.get("uid") or "",
                "groups": spec.get("groups") or [],
                "extra": spec.get("extra") or {},
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "verb": "create",
                    "subresource": subresource,
                    "version": "*",
                },
            },
            "metadata": {},
        }
        answer = await self.client.create(SUBJECT_ACCESS_REVIEWS, review)
        return bool(answer["status"].get("allowed"))

    async def approve(self, request: Obj, message: str) -> None:
        now = times.now(self.clock)
        approved = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        changed = copy(request)
        changed.setdefault("status", {})["conditions"] = [*meta.conditions(request), approved]
        await ignoring_absence(self.client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="approval"))


class ApprovingController(_Approver):
    name = "certificatesigningrequest-approving-controller"
    aliases = ("csrapproving",)
    source = "csrapproving"
    account = "certificate-controller"
    rules: ClassVar[Sequence[Rule]] = _RULES

    def setup(self) -> None:
        self._requests = self.watch_own(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(self, key: str) -> Result | None:
        request = self._requests.get(key)
        if request is None or has_condition(request, "Approved", "Denied", "Failed"):
            return None
        spec = request["spec"]
        if spec["signerName"] != KUBELET_CLIENT or (request.get("status") or {}).get("certificate"):
            return None
        try:
            parsed, _ = await asyncio.to_thread(read_request, base64.b64decode(spec["request"]))
            check_kubelet_client(parsed, list(spec.get("usages") or ()))
        except (ValueError, Refused):
            return None  # not a kubelet's: for people to decide
        for subresource, message in (
            ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
            ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
        ):
            if subresource == "selfnodeclient" and spec.get("username") != parsed.common_name:
                continue
            if await self.may(spec, subresource):
                await self.approve(request, message)
                return None
        return None


class ServingApprovingController(_Approver):
    """Approves the serving certificates of nodes that joined with a token, for the names and addresses of their Node objects.

    The original leaves them to people. So does this one until somebody lets nodes join: its role, and the right of nodes
    to be approved (certificatesigningrequests/selfnodeserver), come with the first `steersman token create`.
    """

    name = "kubelet-serving-approving-controller"
    source = "kubelet-serving-approver"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("certificates.k8s.io",), ("certificatesigningrequests",), ("get", "list", "watch")),
        Rule(("certificates.k8s.io",), ("certificatesigningrequests/approval",), ("update",)),
        Rule(("authorization.k8s.io",), ("subjectaccessreviews",), ("create",)),
        Rule(("",), ("nodes",), ("get", "list", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._requests = self.watch_own(CERTIFICATE_SIGNING_REQUESTS)
        self._nodes = self.watch(NODES, updated=lambda old, new: self._look_again(new), added=self._look_again)

    def _look_again(self, node: Obj) -> None:
        """A request may come before the Node tells its addresses."""
        for request in self._requests.list():
            if request["spec"].get("username") == f"system:node:{meta.name(node)}":
                self.enqueue_object(request)

    async def reconcile(self, key: str) -> Result | None:
        request = self._requests.get(key)
        if request is None or has_condition(request, "Approved", "Denied", "Failed"):
            return None
        spec = request["spec"]
        if spec["signerName"] != KUBELET_SERVING:
            return None
        try:
            parsed, _ = await asyncio.to_thread(read_request, base64.b64decode(spec["request"]))
            check(KUBELET_SERVING, parsed, list(spec.get("usages") or ()))
        except (ValueError, Refused):
            return None
        if spec.get("username") != parsed.common_name or not names_only_itself(parsed, self._nodes.list()):
            return None
        try:
            if await self.may(spec, "selfnodeserver"):
                await self.approve(request, "Auto approving kubelet serving certificate after SubjectAccessReview.")
        except ApiError as error:
            if error.reason != "Forbidden":  # nobody has let nodes join
                raise
        return None


def names_only_itself(request: Request, nodes: Iterable[Obj]) -> bool:
    """Whether every name and address in a node's request is in that node's status, and in no other's."""
    mine: set[str] = set()
    others: set[str] = set()
    for node in nodes:
        told = {address["address"] for address in (node.get("status") or {}).get("addresses") or ()}
        if f"system:node:{meta.name(node)}" == request.common_name:
            mine = told | {meta.name(node)}
        else:
            others |= told | {meta.name(node)}
    asked = {*request.dns_names, *request.addresses}
    return bool(asked) and asked <= mine and not asked & others


class CleaningController(Controller):
    name = "certificatesigningrequest-cleaner-controller"
    aliases = ("csrcleaner",)
    source = "csrcleaner"
    account = "certificate-controller"
    rules: ClassVar[Sequence[Rule]] = _RULES
    workers = 0

    def setup(self) -> None:
        self._requests = self.watch(CERTIFICATE_SIGNING_REQUESTS)

    async def background(self) -> None:
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                log.warning("cleaning certificate signing requests: %s", error)
            await self.clock.sleep(_POLL)

    async def sweep(self) -> None:
        """Remove what is outdated."""
        now = self.clock.time()
        await gather_all(
            ignoring_absence(self.client.delete(CERTIFICATE_SIGNING_REQUESTS, meta.name(request)))
            for request in self._requests.list()
            if is_outdated(request, now)
        )
