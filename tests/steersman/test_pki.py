"""Certificates: made once, renewed before they expire, re-issued when names change; a real TLS handshake believes them."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from apimachinery.clock import ControlledClock
from steersman import paths, pki

LEAVES = pki.cluster_leaves(node_name="n1", dns_names=("host",), addresses=("10.96.0.1",), node_addresses=("10.1.2.3",))


@pytest.fixture
def clock() -> ControlledClock:
    return ControlledClock()


def test_everything_is_made_once(tmp_path: Path, clock: ControlledClock) -> None:
    written = pki.ensure(tmp_path, LEAVES, clock)
    assert {"ca", "front-proxy-ca", "sa", "apiserver", "admin", "nodeagent"} <= set(written)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert pki.ensure(tmp_path, LEAVES, clock) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_keys_are_readable_by_their_owner_only(tmp_path: Path, clock: ControlledClock) -> None:
    pki.ensure(tmp_path, LEAVES, clock)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")} == {0o600}


async def test_leaves_are_renewed_a_month_before_they_expire_and_cas_kept(
    tmp_path: Path, clock: ControlledClock
) -> None:
    pki.ensure(tmp_path, LEAVES, clock)
    ca = (tmp_path / "ca.crt").read_bytes()
    await clock.advance(336 * pki.DAY)
    written = pki.ensure(tmp_path, LEAVES, clock)
    assert set(written) == {leaf.name for leaf in LEAVES}
    assert (tmp_path / "ca.crt").read_bytes() == ca


def test_a_new_address_re_issues_only_what_shows_it(tmp_path: Path, clock: ControlledClock) -> None:
    pki.ensure(tmp_path, LEAVES, clock)
    moved = pki.cluster_leaves(
        node_name="n1", dns_names=("host",), addresses=("10.97.0.1",), node_addresses=("10.1.2.3",)
    )
    assert pki.ensure(tmp_path, moved, clock) == ["apiserver"]


def test_a_lost_ca_takes_its_certificates_with_it(tmp_path: Path, clock: ControlledClock) -> None:
    pki.ensure(tmp_path, LEAVES, clock)
    (tmp_path / "front-proxy-ca.key").unlink()
    assert pki.ensure(tmp_path, LEAVES, clock) == ["front-proxy-ca", "front-proxy-client"]


def test_subjects_and_names_are_those_that_authentication_expects(tmp_path: Path, clock: ControlledClock) -> None:
    pki.ensure(tmp_path, LEAVES, clock)

    def show(name: str) -> str:
        command = ["openssl", "x509", "-in", str(tmp_path / f"{name}.crt"), "-noout", "-subject", "-ext",
                   "subjectAltName,extendedKeyUsage"]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "O = system:nodes, CN = system:node:n1" in show("nodeagent")
    assert "O = system:masters" in show("admin")
    server = show("apiserver")
    assert "DNS:kubernetes.default.svc.cluster.local" in server
    assert "IP Address:10.96.0.1" in server
    assert "TLS Web Client Authentication" not in server


def test_a_tls_client_that_trusts_the_ca_accepts_the_chain(tmp_path: Path, clock: ControlledClock) -> None:
    pki.ensure(tmp_path, LEAVES, clock)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "apiserver.crt", tmp_path / "apiserver.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.verify_flags |= getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(incoming, outgoing, server_hostname="10.96.0.1")
    far = server.wrap_bio(outgoing, incoming, server_side=True)
    # The clock stands in 2023, so the certificates have run out; the names and the chain are what matters here.
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(near, far)


def handshake(near: ssl.SSLObject, far: ssl.SSLObject) -> None:
    for _ in range(4):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


async def test_a_key_whose_certificate_was_never_written_is_not_taken_for_a_pair(
    tmp_path: Path, clock: ControlledClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.ensure(tmp_path, LEAVES, clock)
    write = paths.write_private

    def full(path: Path, text: str | bytes, mode: int = 0o600) -> None:
        if path.name == "scheduler.crt":
            raise OSError("no space left on device")
        write(path, text, mode)

    renew: Callable[[], list[str]]
    for renew in (lambda: pki.ensure(tmp_path, LEAVES, clock), lambda: pki.rotate(tmp_path, ["scheduler"], clock)):
        await clock.advance(336 * pki.DAY)
        with monkeypatch.context() as patched:
            patched.setattr(pki, "write_private", full)
            with pytest.raises(OSError, match="no space left"):
                renew()
        assert "scheduler" in pki.ensure(tmp_path, LEAVES, clock)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "scheduler.crt", tmp_path / "scheduler.key")  # they are a pair


def contents(folder: Path) -> dict[str, bytes]:
    """What each file holds, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_rotation_makes_new_keys_that_the_same_ca_signs(tmp_path: Path, clock: ControlledClock) -> None:
    pki.ensure(tmp_path, LEAVES, clock)
    before = contents(tmp_path)
    await clock.advance(10 * pki.DAY)
    assert pki.rotate(tmp_path, ["admin", "sa"], clock) == ["admin", "sa"]
    changed = {name for name, content in contents(tmp_path).items() if content != before[name]}
    assert changed == {"admin.crt", "admin.key", "sa.key", "sa.pub", "issued.json"}
    assert (tmp_path / "sa.pub").read_bytes().endswith(before["sa.pub"])
    assert pki.ensure(tmp_path, LEAVES, clock) == []
    shown = {issued.name: issued for issued in pki.show(tmp_path)}
    assert shown["admin"].not_after == shown["scheduler"].not_after + 10 * pki.DAY
    assert shown["ca"].authority
    assert shown["admin"].issuer == shown["ca"].subject
    assert set(pki.rotate(tmp_path, [], clock)) == {leaf.name for leaf in LEAVES}
    with pytest.raises(ValueError, match="no certificate 'nobody'"):
        pki.rotate(tmp_path, ["nobody"], clock)
