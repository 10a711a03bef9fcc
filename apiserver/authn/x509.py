"""Users by client certificate: CommonName is the name, Organization the groups.

TLS lets any certificate of a known CA through, even an expired one (Python's ssl would otherwise reset the connection,
where the original answers 401), so the chain is checked here: signatures up to a trusted root, dates, CA flags, path
lengths and the clientAuth purpose. A checked chain is remembered by its bytes; only the dates are looked at again.
Anything a verifier has to understand and this one does not (a critical extension such as name constraints) is refused.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from apimachinery.clock import Clock
from apiserver.authn.base import CREDENTIAL_ID, AuthenticationError, Credentials, Response
from apiserver.authn.lru import LRU
from apiserver.authn.metrics import AuthenticationMetrics
from apiserver.authn.user import User
from serving.metrics import Histogram

_MAX_CHAIN = 8  # certificates looked at in one presented chain; longer ones are not needed by anyone honest
_MAX_CHECKS = 100  # signatures looked at for one leaf; Go's
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}
_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")  # Kubernetes' own attribute for a user's uid
_CACHE = 4096  # chains; one is a few KB


def load_bundle(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file; ValueError when there are none."""
    try:
        return parse_bundle(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"unable to load client CA file {str(path)!r}: {error}") from error


def parse_bundle(pem: bytes) -> list[x509.Certificate]:
    """The certificates in PEM; ValueError when there are none."""
    return x509.load_pem_x509_certificates(pem)


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain whose signatures and purposes are right, and the span in which all its certificates are valid. ends: of the leaf."""

    leaf: x509.Certificate
    not_before: float
    not_after: float
    ends: float

    def valid(self, now: float) -> bool:
        return self.not_before <= now <= self.not_after


class Verifier:
    """Checks presented chains against the CAs of a bundle."""

    def __init__(self, roots: Sequence[x509.Certificate], clock: Clock) -> None:
        self._roots = list(roots)
        self._clock = clock
        self._cache: LRU[bytes, Verified] = LRU(_CACHE)

    def trust(self, roots: Sequence[x509.Certificate]) -> None:
        """Other CAs from now on; chains to the old ones are forgotten."""
        self._roots = list(roots)
        self._cache.clear()

    def verify(
        self, leaf: bytes, intermediates: Callable[[], Sequence[bytes]], lives: Histogram | None = None
    ) -> Verified:
        """The chain, valid now. Raises AuthenticationError with what is wrong. lives: told how long the leaf has left.

        A leaf that was once led up to a root stays known by itself: who presents it holds its key, whatever else it sends.
        """
        now = self._clock.time()
        found = self._cache.get(leaf)
        if found is None or (now > found.not_after and now <= found.ends):
            found = self._check(leaf, intermediates()[:_MAX_CHAIN], now)
            self._cache.put(leaf, found)
        if lives is not None:
            lives.observe(found.ends - now)
        if not found.valid(now):
            raise AuthenticationError(
                f"verifying certificate {identify(found.leaf)} failed: x509: certificate has expired or is not yet valid"
            )
        return found

    def _check(self, der: bytes, others: Sequence[bytes], now: float) -> Verified:
        name = "(unreadable)"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            try:
                leaf = x509.load_der_x509_certificate(der)
                name = identify(leaf)
                return self._best(leaf, [x509.load_der_x509_certificate(other) for other in others], now)
            except (ValueError, AuthenticationError) as error:
                raise AuthenticationError(f"verifying certificate {name} failed: {error}") from error

    def _best(self, leaf: x509.Certificate, others: list[x509.Certificate], now: float) -> Verified:
        """The first chain that is valid now, else the first: a CA and its successor may have one name and one key."""
        found: Verified | None = None
        problem = AuthenticationError("x509: certificate signed by unknown authority")
        for path in self._paths([leaf], others, iter(range(_MAX_CHECKS))):
            try:
                _check_purpose(path)
            except AuthenticationError as error:
                problem = error
                continue
            verified = Verified(
                leaf,
                max(c.not_valid_before_utc.timestamp() for c in path),
                min(c.not_valid_after_utc.timestamp() for c in path),
                leaf.not_valid_after_utc.timestamp(),
            )
            if verified.valid(now):
                return verified
            found = found or verified
        if found is None:
            raise problem
        return found

    def _paths(
        self, path: list[x509.Certificate], others: list[x509.Certificate], checks: Iterator[int]
    ) -> Iterator[list[x509.Certificate]]:
        """The ways from its last certificate up to a root. checks: gives out the signatures that may be looked at, which bounds
        what certificates made to lead astray can cost."""
        last = path[-1]
        if last in self._roots:
            yield path
            return
        for issuer in (*self._roots, *others):
            if issuer in path or next(checks, None) is None or not _issued(last, issuer, below=len(path) - 1):
                continue
            if issuer in self._roots:
                yield [*path, issuer]
            else:
                yield from self._paths([*path, issuer], others, checks)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, *, below: int) -> bool:
    """Whether issuer is a CA that signed certificate. below: how many intermediate CAs would stand beneath it."""
    if certificate.issuer != issuer.subject:
        return False
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or (constraints.path_length is not None and below > constraints.path_length):
            return False
    except x509.ExtensionNotFound:
        return False
    try:
        if not issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _check_purpose(path: Sequence[x509.Certificate]) -> None:
    """Every certificate that restricts its purposes must allow clientAuth, and none may demand what is not understood."""
    for certificate in path:
        for extension in certificate.extensions:
            if extension.critical and extension.oid not in _UNDERSTOOD:
                raise AuthenticationError("x509: unhandled critical extension")
            if isinstance(extension.value, x509.ExtendedKeyUsage):
                usages = set(extension.value)
                if not usages & {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}:
                    raise AuthenticationError("x509: certificate specifies an incompatible key usage")


def identify(certificate: x509.Certificate) -> str:
    """How logs name a certificate: serial number and key identifiers."""

    def hexed(data: bytes | None) -> str:
        return ":".join(f"{byte:02X}" for byte in data or b"")

    subject = authority = None
    try:
        subject = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except (x509.ExtensionNotFound, ValueError):
        pass
    return f"SN={certificate.serial_number}, SKID={hexed(subject)}, AKID={hexed(authority)}"


def common_name(certificate: x509.Certificate) -> str:
    """The subject's last CommonName, as Go's parser keeps it; "" without one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[-1].value) if names else ""


def user_of(certificate: x509.Certificate) -> User | None:
    """The user a certificate names; None without a CommonName. Raises AuthenticationError for an unusable uid."""
    name = common_name(certificate)
    if not name:
        return None
    groups = tuple(str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    uids = [str(a.value) for a in certificate.subject.get_attributes_for_oid(_UID)]
    if len(uids) > 1:
        raise AuthenticationError(f"expected 1 UID, but found multiple: {uids}")
    if uids and not uids[0]:
        raise AuthenticationError("UID cannot be an empty string")
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    return User(name, uids[0] if uids else "", groups, {CREDENTIAL_ID: (f"X509SHA256={digest}",)})


class CertificateAuthenticator:
    """Users by certificates of the client CAs."""

    def __init__(
        self, roots: Sequence[x509.Certificate], clock: Clock, metrics: AuthenticationMetrics | None = None
    ) -> None:
        self._verifier = Verifier(roots, clock)
        self.trust = self._verifier.trust
        self._lives = metrics.certificate_lives if metrics is not None else None
        self._users: LRU[bytes, Response] = LRU(_CACHE)

    async def authenticate(self, credentials: Credentials) -> Response | None:
        if credentials.certificate is None:
            return None
        verified = self._verifier.verify(credentials.certificate, credentials.intermediates, self._lives)
        response = self._users.get(credentials.certificate)
        if response is None:
            user = user_of(verified.leaf)
            if user is None:
                return None
            response = Response(user)
            self._users.put(credentials.certificate, response)
        return response
