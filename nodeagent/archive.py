"""Image archives as `docker save`, `podman save`, `buildah`, `skopeo` and `ctr images export` write them.

    read(path) -> list[ArchiveImage]    names, manifest, config and layers of every image in the tar, for one platform

Called by nodeagent.images.load. Both forms are understood: an OCI layout (index.json) and a docker archive
(manifest.json), whose layers are uncompressed and for which a manifest is made. Refuses what is neither.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_LIMIT = 8 << 20  # bytes of a manifest, an index or a config; all are small, and an archive is not to be trusted


class ArchiveError(ValueError):
    """The file is no image archive, or is damaged; the text says how."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A piece of content: member of the archive, or made here (then data is not None)."""

    media_type: str
    digest: str
    size: int
    member: str = ""
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class ArchiveImage:
    """names: full references, may be empty. diff_ids: digests of the uncompressed layers, in their order."""

    names: tuple[str, ...]
    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]
    diff_ids: tuple[str, ...]


def normalise(name: str) -> str:
    """The full reference of a short one: "busybox" is docker.io/library/busybox:latest."""
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    last = name.rsplit("/", 1)[-1]
    return name if ":" in last or "@" in last else f"{name}:latest"


class Archive:
    """One open archive. Members are looked up by name; symbolic links (old docker saves) are followed once."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {member.name.removeprefix("./"): member for member in tar.getmembers()}

    def has(self, name: str) -> bool:
        return name in self._members

    def _member(self, name: str) -> tarfile.TarInfo:
        member = self._members.get(name)
        if member is not None and (member.issym() or member.islnk()):
            base = name.rsplit("/", 1)[0] + "/" if "/" in name and member.issym() else ""
            member = self._members.get(_normal_path(base + member.linkname))
        if member is None or not member.isfile():
            raise ArchiveError(f"the archive has no file {name}")
        return member

    def open(self, name: str) -> BinaryIO:
        return cast("BinaryIO", cast("IO[bytes]", self._tar.extractfile(self._member(name))))

    def size(self, name: str) -> int:
        return self._member(name).size

    def json(self, name: str) -> Any:
        if self.size(name) > _LIMIT:
            raise ArchiveError(f"{name} in the archive is too large to be metadata")
        try:
            return json.loads(self.open(name).read())
        except ValueError as error:
            raise ArchiveError(f"{name} in the archive is not JSON: {error}") from None

    def images(self, architecture: str) -> list[ArchiveImage]:
        """Every image for linux on that architecture (OCI's name of it)."""
        if self.has("index.json"):
            return list(self._oci(self.json("index.json"), architecture, ()))
        if self.has("manifest.json"):
            return [self._docker(entry) for entry in self.json("manifest.json")]
        raise ArchiveError("the file is neither an OCI layout nor a docker archive: no index.json, no manifest.json")

    def _oci(self, index: Any, architecture: str, inherited: tuple[str, ...]) -> Iterator[ArchiveImage]:
        for entry in index.get("manifests") or ():
            names = _names(entry.get("annotations") or {}) or inherited
            platform = entry.get("platform") or {}
            if platform and (platform.get("os"), platform.get("architecture")) != ("linux", architecture):
                continue
            path = _blob_path(entry["digest"])
            document = self.json(path)
            if entry.get("mediaType") in (_OCI_INDEX, _DOCKER_LIST) or "manifests" in document:
                yield from self._oci(document, architecture, names)
            elif "config" in document:
                yield self._oci_image(entry, document, names)

    def _oci_image(self, entry: Any, manifest: Any, names: tuple[str, ...]) -> ArchiveImage:
        config = self._blob(manifest["config"])
        layers = tuple(self._blob(layer) for layer in manifest.get("layers") or ())
        diff_ids = tuple(self.json(config.member).get("rootfs", {}).get("diff_ids") or ())
        if len(diff_ids) != len(layers):
            raise ArchiveError(f"image {entry['digest']} has {len(layers)} layers but names {len(diff_ids)}")
        return ArchiveImage(names, self._blob(entry), config, layers, diff_ids)

    def _blob(self, descriptor: Any) -> Blob:
        path = _blob_path(descriptor["digest"])
        return Blob(descriptor.get("mediaType") or _DOCKER_MANIFEST, descriptor["digest"], self.size(path), path)

    def _docker(self, entry: Any) -> ArchiveImage:
        raw = self.open(entry["Config"]).read(_LIMIT)
        config = Blob(_DOCKER_CONFIG, _digest(raw), len(raw), entry["Config"])
        diff_ids = tuple(json.loads(raw).get("rootfs", {}).get("diff_ids") or ())
        layers = tuple(self._docker_layer(name) for name in entry.get("Layers") or ())
        if len(diff_ids) != len(layers):
            raise ArchiveError(f"image {config.digest} has {len(layers)} layers but names {len(diff_ids)}")
        document = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _DOCKER_MANIFEST,
                "config": _descriptor(config),
                "layers": [_descriptor(layer) for layer in layers],
            }
        ).encode()
        manifest = Blob(_DOCKER_MANIFEST, _digest(document), len(document), data=document)
        names = tuple(normalise(name) for name in entry.get("RepoTags") or ())
        return ArchiveImage(names, manifest, config, layers, diff_ids)

    def _docker_layer(self, name: str) -> Blob:
        """A layer's digest is that of the bytes in the archive, which may be compressed."""
        hasher = hashlib.sha256()
        with self.open(name) as source:
            head = source.read(2)
            hasher.update(head)
            while chunk := source.read(1 << 20):
                hasher.update(chunk)
        media_type = _DOCKER_LAYER + (".gzip" if head == b"\x1f\x8b" else "")
        return Blob(media_type, "sha256:" + hasher.hexdigest(), self.size(name), name)


@contextmanager
def open_archive(path: str) -> Iterator[Archive]:
    """The archive in a file, compressed or not; ArchiveError when it is no tar."""
    try:
        with tarfile.open(path, "r:*") as tar:
            yield Archive(tar)
    except tarfile.ReadError:
        raise ArchiveError("it is not an image archive: no tar file, compressed or not, or one cut short") from None
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"it is not an image archive: {error}") from None
    except KeyError as error:
        raise ArchiveError(f"it is damaged: its metadata lacks {error}") from None


def _names(annotations: dict[str, str]) -> tuple[str, ...]:
    full = annotations.get("io.containerd.image.name")
    if full:
        return (normalise(full),)
    # org.opencontainers.image.ref.name may be a tag alone, which names nothing.
    reference = annotations.get("org.opencontainers.image.ref.name", "")
    return (normalise(reference),) if ":" in reference or "/" in reference else ()


def _blob_path(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _normal_path(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(blob: Blob) -> dict[str, object]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
