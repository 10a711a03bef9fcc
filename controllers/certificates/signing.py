"""Approved requests are signed with the cluster's CA."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from client.resources import CERTIFICATE_SIGNING_REQUESTS
from controllers.base import Controller, Result, Rule, copy, ignoring_absence
from controllers.certificates.requests import (
    ACCOUNT,
    LEGACY,
    RULES,
    SIGNERS,
    Obj,
    Refused,
    check,
    condition,
    has_condition,
    read_request,
)

if TYPE_CHECKING:
    from cryptography import x509

BACKDATE = timedelta(minutes=5)
SHORTEST = 600  # seconds a certificate is valid at least


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


class SigningController(Controller):
    name = "certificatesigningrequest-signing-controller"
    aliases = ("csrsigning",)
    source = "csrsigning"
    account = ACCOUNT
    rules: ClassVar[Sequence[Rule]] = RULES

    def setup(self) -> None:
        self._authority: tuple[bytes, bytes, Authority] | None = None
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
            failed = condition("Failed", "SignerValidationFailure", str(refusal), self.clock)
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
        wanted = spec.get("expirationSeconds")
        longest = config.cluster_signing_duration
        seconds = longest if wanted is None else max(SHORTEST, min(wanted, longest))
        return self._current(config.cluster_signing_cert_file, config.cluster_signing_key_file).sign(
            parsed, usages, seconds, self.clock.time()
        )

    def _current(self, certificate: Path, key: Path) -> Authority:
        """The CA that the files hold now: they may be replaced."""
        held = certificate.read_bytes(), key.read_bytes()
        if self._authority is None or self._authority[:2] != held:
            self._authority = (*held, Authority(*held))
        return self._authority[2]
