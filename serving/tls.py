"""TLS for servers: who the server is, and asking clients for certificates without demanding any.

OpenSSL would cut the connection of a client whose certificate has expired before the request could be answered, so times
are not checked here (X509_V_FLAG_NO_CHECK_TIME): dates, purpose and CA are checked per use by authentication. A certificate
of an unknown CA still ends the handshake.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from apimachinery import filewatch
from apimachinery.clock import Clock

_NO_CHECK_TIME = 0x200000
PERIOD = 10.0  # seconds between looks at files that change once a year


def server_context(certificate: Path, key: Path | None, client_cas: Iterable[Path] = ()) -> ssl.SSLContext:
    """A context that speaks HTTP/1.1 only. key: None when it lies in the certificate's file. client_cas: PEM bundles whose
    certificates clients may present.

    Raises OSError or ssl.SSLError when a file is missing or does not parse.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    bundles = list(client_cas)
    if bundles:
        for bundle in bundles:
            context.load_verify_locations(bundle)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    return context


async def renew(
    context: ssl.SSLContext, certificate: Path, key: Path | None = None, client_cas: Iterable[Path] = ()
) -> None:
    """Let the connections to come use what the files hold now. ssl.SSLError or OSError, and nothing changed, when they are no use.
    key: None when it lies in the certificate's file. For contexts of clients too.

    They are tried in a thread first, as a certificate without its key would spoil the one in use. The context itself is changed
    here, on the loop: OpenSSL lets nobody change one while another thread begins a connection with it.

    CAs that are gone stay known to TLS, which only knows how to add some: authentication, which checks every chain by itself,
    refuses their clients.
    """
    bundles = list(client_cas)
    await asyncio.to_thread(server_context, certificate, key, bundles)
    context.load_cert_chain(certificate, key)
    for bundle in bundles:
        context.load_verify_locations(bundle)


async def follow(
    context: ssl.SSLContext,
    certificate: Path,
    key: Path,
    client_cas: Iterable[Path],
    clock: Clock,
    *,
    taken: Callable[[], Awaitable[None]] | None = None,
    seconds: float = PERIOD,
) -> None:
    """Keep the context at what the files hold, until cancelled. taken: called when they held something else. seconds: between
    looks."""
    bundles = list(client_cas)

    async def reload() -> None:
        await renew(context, certificate, key, bundles)
        if taken is not None:
            await taken()

    files = [filewatch.WatchedFile(path) for path in dict.fromkeys((certificate, key, *bundles))]
    await filewatch.watch(clock, files, reload, seconds, at_once=True)


def peer_chain(transport_tls: ssl.SSLObject | None) -> tuple[bytes, ...]:
    """The client's certificates in DER, leaf first, as it sent them; empty without one."""
    if transport_tls is None:
        return ()
    leaf = transport_tls.getpeercert(True)
    if leaf is None:
        return ()
    low = getattr(transport_tls, "_sslobj", None)
    chain = getattr(low, "get_unverified_chain", None)
    found = chain() if chain is not None else None
    if not found:
        return (leaf,)
    return tuple(_der(item) for item in found)


def _der(certificate: object) -> bytes:
    """DER bytes of an entry of the chain, which is an object in Python 3.10-3.12."""
    if isinstance(certificate, bytes):
        return certificate
    encoding_der = 2
    data: bytes = certificate.public_bytes(encoding_der)  # type: ignore[attr-defined]
    return data
