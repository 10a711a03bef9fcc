"""The built-in sandbox image: a static program of about 200 bytes that waits, and the archive that holds it.

Called when a private containerd is started and by image loading, so that no registry is needed to start a pod. The
program is made here, instruction by instruction, because it needs so few: as process 1 of a pod it must reap orphans
(SIGCHLD ignored: the kernel then reaps), end on SIGINT and SIGTERM, and otherwise sleep for ever.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import struct
import tarfile
from dataclasses import dataclass

NAME = "registry.k8s.io/pause:3.10"
"""The name that containerd and cri-dockerd ask for by default, so that tools recognise the image."""

_BASE = 0x400000
_HEADERS = 64 + 56
_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_SIG_IGN = 1
_SA_RESTORER = 0x04000000


@dataclass(frozen=True, slots=True)
class Architecture:
    """oci: the name in image metadata. machine: e_machine of ELF. code: given the data's address, the instructions."""

    oci: str
    machine: int


X86_64 = Architecture("amd64", 62)
AARCH64 = Architecture("arm64", 183)
ARCHITECTURES = {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}


def native() -> Architecture:
    """This machine's architecture; KeyError when no program can be made for it."""
    return ARCHITECTURES[platform.machine().lower()]


def program(architecture: Architecture) -> bytes:
    """The whole ELF executable."""
    make = _x86_64 if architecture is X86_64 else _aarch64
    length = len(make(0, 0, 0))
    start = _BASE + _HEADERS
    data = start + length + (-length % 8)
    # Two kernel sigactions of 32 bytes (handler, flags, restorer, mask; aarch64 has no restorer: handler, flags, mask).
    ignore, end = data, data + 32
    code = make(ignore, end, start)
    handler = start + len(code) - _EXIT_LENGTH[architecture.oci]
    restorer = _SA_RESTORER if architecture is X86_64 else 0
    actions = struct.pack("<4Q", _SIG_IGN, restorer, 0, 0) + struct.pack("<4Q", handler, restorer, 0, 0)
    body = code + b"\0" * (-len(code) % 8) + actions
    return _elf(architecture.machine, body)


def _elf(machine: int, body: bytes) -> bytes:
    size = _HEADERS + len(body)
    ident = b"\x7fELF" + bytes([2, 1, 1, 0]) + b"\0" * 8
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + body


def _x86_64(ignore: int, end: int, _start: int) -> bytes:
    def sigaction(signal: int, action: int) -> bytes:
        return (
            b"\xb8\x0d\x00\x00\x00"  # mov eax, 13 (rt_sigaction)
            + b"\xbf" + struct.pack("<I", signal)  # mov edi, signal
            + b"\xbe" + struct.pack("<I", action)  # mov esi, action
            + b"\x31\xd2"  # xor edx, edx
            + b"\x41\xba\x08\x00\x00\x00"  # mov r10d, 8
            + b"\x0f\x05"  # syscall
        )  # fmt: skip

    wait = b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"  # mov eax, 34 (pause); syscall; jmp back
    leave = b"\xb8\xe7\x00\x00\x00\x31\xff\x0f\x05"  # mov eax, 231 (exit_group); xor edi, edi; syscall
    return sigaction(_SIGCHLD, ignore) + sigaction(_SIGINT, end) + sigaction(_SIGTERM, end) + wait + leave


def _aarch64(ignore: int, end: int, _start: int) -> bytes:
    def movz(register: int, value: int) -> int:
        return 0xD2800000 | (value & 0xFFFF) << 5 | register

    def movk_high(register: int, value: int) -> int:
        return 0xF2A00000 | (value >> 16 & 0xFFFF) << 5 | register

    svc = 0xD4000001

    def sigaction(signal: int, action: int) -> list[int]:
        # x8 = 134 (rt_sigaction); x0 = signal; x1 = action; x2 = 0; x3 = 8
        return [movz(8, 134), movz(0, signal), movz(1, action), movk_high(1, action), movz(2, 0), movz(3, 8), svc]

    # x8 = 73 (ppoll of nothing, for ever: this architecture has no pause); branch back to its first instruction
    wait = [movz(8, 73), movz(0, 0), movz(1, 0), movz(2, 0), movz(3, 0), svc, 0x14000000 | (-6 & 0x3FFFFFF)]
    leave = [movz(8, 94), movz(0, 0), svc]  # exit_group(0)
    words = [*sigaction(_SIGCHLD, ignore), *sigaction(_SIGINT, end), *sigaction(_SIGTERM, end), *wait, *leave]
    return struct.pack(f"<{len(words)}I", *words)


_EXIT_LENGTH = {"amd64": 9, "arm64": 12}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar of files (name -> content, mode), the same bytes each time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (content, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def archive(architecture: Architecture, name: str = NAME) -> bytes:
    """The image as an OCI layout in a tar, tagged with the name."""
    layer = _tar({"pause": (program(architecture), 0o755)})
    packed = gzip.compress(layer, mtime=0)
    config = json.dumps(
        {
            "architecture": architecture.oci,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535", "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
        }
    ).encode()
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {"io.containerd.image.name": name}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    blobs = {f"blobs/sha256/{_digest(blob)[7:]}": (blob, 0o644) for blob in (packed, config, manifest)}
    return _tar({"oci-layout": (b'{"imageLayoutVersion":"1.0.0"}', 0o644), "index.json": (index, 0o644), **blobs})


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}
