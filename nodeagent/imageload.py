"""Importing an image archive into the runtime: what `steersman image load` and the built-in sandbox image use.

The CRI cannot import, so containerd's own services do it, as `ctr images import` would: content under a lease, labels
that keep it from collection, an image record per name, and the layers unpacked so that the first container starts at
once. A runtime that is not containerd is refused with what to do instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import uuid
from typing import BinaryIO, cast

from apimachinery import times
from apimachinery.clock import Clock
from nodeagent import archive, pause
from nodeagent.archive import Archive, ArchiveImage, Blob
from nodeagent.cri import containerd_pb2 as pb
from nodeagent.cri.client import CriClient
from nodeagent.cri.containerd_api import ContainerdApi
from nodeagent.runtime import RuntimeFailure

log = logging.getLogger(__name__)

_MANAGED = {"io.cri-containerd.image": "managed"}
_LEASE_SECONDS = 3600
_SNAPSHOTTERS = ("overlayfs", "native", "fuse-overlayfs", "stargz", "zfs", "btrfs", "devmapper")


class LoadError(Exception):
    """The archive cannot be loaded here; the text says why."""


async def load(socket: str, path: str, *, clock: Clock, snapshotter: str = "") -> list[str]:
    """Import every image of the archive; the names under which pods can ask for them (ids for nameless ones).

    socket: the runtime's. snapshotter: containerd's, found when empty. LoadError says what is wrong with archive or runtime.
    """
    api = ContainerdApi(socket)
    try:
        await _require_containerd(api)
        architecture = pause.native().oci
        with archive.open_archive(path) as opened:
            images = await asyncio.to_thread(opened.images, architecture)
            if not images:
                raise LoadError(f"{path} holds no image for linux/{architecture}")
            names = await _import(api, opened, images, clock, snapshotter or await find_snapshotter(api))
    except archive.ArchiveError as error:
        raise LoadError(str(error)) from None
    except RuntimeFailure as error:
        raise LoadError(f"containerd refused the image: {error.message}") from error
    finally:
        await api.close()
    await _wait_until_known(socket, names, clock)
    return names


async def load_pause(socket: str, name: str, *, clock: Clock, snapshotter: str = "") -> None:
    """Import the built-in sandbox image under that name, unless the runtime has it."""
    import tempfile

    cri = CriClient(socket, {})
    try:
        if await cri.image_status(name) is not None:
            return
    finally:
        await cri.close()
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(pause.archive(pause.native(), name))
        file.flush()
        await load(socket, file.name, clock=clock, snapshotter=snapshotter)


async def find_snapshotter(api: ContainerdApi) -> str:
    """The first working snapshotter in the order in which they are preferred."""
    plugins = await api.plugins("io.containerd.snapshotter.v1")
    return next((name for name in _SNAPSHOTTERS if name in plugins and not plugins[name]), "native")


async def _require_containerd(api: ContainerdApi) -> None:
    try:
        await api.version()
    except RuntimeFailure as error:
        if error.code == "Unimplemented":
            raise LoadError(
                "the runtime is not containerd, and the CRI has no call that imports an image; load it with the"
                " runtime's own tool (podman load, docker load) or push it to a registry"
            ) from None
        raise LoadError(f"the runtime does not answer: {error.message}") from None


async def _import(
    api: ContainerdApi, opened: Archive, images: list[ArchiveImage], clock: Clock, snapshotter: str
) -> list[str]:
    lease = f"steersman-{uuid.uuid4()}"
    await api.create_lease(lease, times.format_time(clock.time() + _LEASE_SECONDS))
    try:
        names: list[str] = []
        for image in images:
            names += await _import_image(api, opened, image, lease, snapshotter)
        return names
    finally:
        await api.delete_lease(lease)


async def _import_image(
    api: ContainerdApi, opened: Archive, image: ArchiveImage, lease: str, snapshotter: str
) -> list[str]:
    for blob in image.layers:
        await _write(api, opened, blob, {}, lease)
    chain = _chain_ids(image.diff_ids)
    # The references by which containerd's collector walks from an image to its layers and their snapshots.
    root = {f"containerd.io/gc.ref.snapshot.{snapshotter}": chain[-1]} if chain else {}
    await _write(api, opened, image.config, root, lease)
    refs = {"containerd.io/gc.ref.content.config": image.config.digest}
    refs |= {f"containerd.io/gc.ref.content.l.{i}": layer.digest for i, layer in enumerate(image.layers)}
    await _write(api, opened, image.manifest, refs, lease)
    await _unpack(api, image, chain, lease, snapshotter)
    names = list(image.names) or [f"docker.io/library/import:{image.manifest.digest[7:19]}"]
    for name in names:
        await api.put_image(name, _descriptor(image.manifest), _MANAGED, lease=lease)
    return names


async def _write(api: ContainerdApi, opened: Archive, blob: Blob, labels: dict[str, str], lease: str) -> None:
    source = cast("BinaryIO", io.BytesIO(blob.data)) if blob.data is not None else opened.open(blob.member)
    await api.write_content(source, blob.size, blob.digest, labels, lease=lease)
    if labels:
        # Content that was there before keeps its labels, so they are set again.
        await api.label_content(blob.digest, labels)


async def _unpack(api: ContainerdApi, image: ArchiveImage, chain: list[str], lease: str, snapshotter: str) -> None:
    for position, (layer, diff_id, chain_id) in enumerate(zip(image.layers, image.diff_ids, chain, strict=True)):
        if await api.has_snapshot(snapshotter, chain_id):
            continue
        parent = chain[position - 1] if position else ""
        applied = await api.unpack_layer(
            snapshotter, _descriptor(layer), parent=parent, chain_id=chain_id, key=f"load-{uuid.uuid4()}", lease=lease
        )
        if applied and applied != diff_id:
            raise LoadError(f"layer {layer.digest} unpacks to {applied}, but the image says {diff_id}")


def _chain_ids(diff_ids: tuple[str, ...]) -> list[str]:
    """OCI's chain ids: the name of each layer together with all below it."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(f"{chain[-1]} {diff_id}" if chain else diff_id)
        if len(chain) > 1:
            chain[-1] = "sha256:" + hashlib.sha256(chain[-1].encode()).hexdigest()
    return chain


def _descriptor(blob: Blob) -> object:
    return pb.Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size)


async def _wait_until_known(socket: str, names: list[str], clock: Clock) -> None:
    """The CRI plugin learns of new images from containerd's events, a moment later."""
    cri = CriClient(socket, {})
    try:
        for name in names:
            for _ in range(100):
                if await cri.image_status(name) is not None:
                    break
                await clock.sleep(0.02)
            else:
                log.warning("image %s is loaded, but the runtime does not list it yet", name)
    finally:
        await cri.close()
