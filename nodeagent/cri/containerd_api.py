"""containerd's own API, beside the CRI: importing content, images and snapshots, and hearing of container exits.

Called by nodeagent.images.load (CRI has no import) and by the relist loop when the runtime has no CRI container events
(containerd before 1.7). Everything happens in the namespace that containerd's CRI plugin uses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, BinaryIO

import grpc
import grpc.aio

from nodeagent.cri import client
from nodeagent.cri import containerd_pb2 as pb
from nodeagent.runtime import RuntimeFailure

NAMESPACE = "k8s.io"
_CHUNK = 1 << 20
_DEADLINE = 60.0


class ContainerdApi:
    """Calls by name on one containerd socket; every method raises nodeagent.runtime.RuntimeFailure."""

    def __init__(self, socket: str) -> None:
        self._channel = client.open_channel(socket)

    async def close(self) -> None:
        await self._channel.close()

    async def _call(
        self,
        service: str,
        method: str,
        request: Any,
        response: Any = pb.Empty,
        *,
        lease: str = "",
        deadline: float = _DEADLINE,
    ) -> Any:
        call = self._channel.unary_unary(
            f"/containerd.services.{service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            return await call(request, timeout=deadline, metadata=_metadata(lease))
        except grpc.aio.AioRpcError as error:
            raise client.failure(error) from None

    async def version(self) -> str:
        return str(
            (await self._call("version.v1.Version", "Version", pb.Empty(), pb.VersionResponse, deadline=5)).version
        )

    async def plugins(self, kind: str) -> dict[str, str]:
        """Plugins of a type (io.containerd.snapshotter.v1, ...): id -> why it did not start, or ""."""
        request = pb.PluginsRequest(filters=[f"type=={kind}"])
        answer = await self._call("introspection.v1.Introspection", "Plugins", request, pb.PluginsResponse)
        return {plugin.id: plugin.init_err.message for plugin in answer.plugins}

    # ---- leases: what keeps half-imported content from being collected

    async def create_lease(self, lease: str, expires: str) -> None:
        """expires: RFC 3339; containerd's collector drops the lease after it, should we die before."""
        labels = {"containerd.io/gc.expire": expires}
        await self._call(
            "leases.v1.Leases", "Create", pb.CreateLeaseRequest(id=lease, labels=labels), pb.CreateLeaseResponse
        )

    async def delete_lease(self, lease: str) -> None:
        await self._call("leases.v1.Leases", "Delete", pb.DeleteLeaseRequest(id=lease))

    # ---- content

    async def has_content(self, digest: str) -> bool:
        try:
            await self._call("content.v1.Content", "Info", pb.InfoRequest(digest=digest), pb.InfoResponse)
        except RuntimeFailure as error:
            if error.code == "NotFound":
                return False
            raise
        return True

    async def label_content(self, digest: str, labels: dict[str, str]) -> None:
        request = pb.UpdateContentRequest(
            info=pb.Info(digest=digest, labels=labels),
            update_mask=pb.FieldMask(paths=[f"labels.{name}" for name in labels]),
        )
        await self._call("content.v1.Content", "Update", request, pb.UpdateContentResponse)

    async def write_content(
        self, source: BinaryIO, size: int, digest: str, labels: dict[str, str], *, lease: str
    ) -> None:
        """Stream size bytes of source into the content store; content that is there already is left alone."""
        if await self.has_content(digest):
            return
        call = self._channel.stream_stream(
            "/containerd.services.content.v1.Content/Write",
            request_serializer=pb.WriteContentRequest.SerializeToString,
            response_deserializer=pb.WriteContentResponse.FromString,
        )(_write_requests(source, size, digest, labels), metadata=_metadata(lease))
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            # Somebody else may have been faster; the stream then breaks off in one of several ways.
            if not await self.has_content(digest):
                raise client.failure(error) from None

    # ---- images

    async def put_image(self, name: str, target: Any, labels: dict[str, str], *, lease: str) -> None:
        """Create the image record, or point an existing one at the new target."""
        image = pb.Image(name=name, target=target, labels=labels)
        try:
            await self._call(
                "images.v1.Images", "Create", pb.CreateImageRequest(image=image), pb.CreateImageResponse, lease=lease
            )
        except RuntimeFailure as error:
            if error.code != "AlreadyExists":
                raise
            await self._call(
                "images.v1.Images", "Update", pb.UpdateImageRequest(image=image), pb.UpdateImageResponse, lease=lease
            )

    # ---- snapshots: unpacking, so that the first container does not have to wait for it

    async def has_snapshot(self, snapshotter: str, key: str) -> bool:
        try:
            request = pb.StatSnapshotRequest(snapshotter=snapshotter, key=key)
            await self._call("snapshots.v1.Snapshots", "Stat", request, pb.StatSnapshotResponse)
        except RuntimeFailure as error:
            if error.code == "NotFound":
                return False
            raise
        return True

    async def unpack_layer(
        self, snapshotter: str, layer: Any, *, parent: str, chain_id: str, key: str, lease: str
    ) -> str:
        """Apply one layer over its parent and commit it as chain_id; the digest of the uncompressed layer."""
        prepare = pb.PrepareSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent)
        answer = await self._call("snapshots.v1.Snapshots", "Prepare", prepare, pb.PrepareSnapshotResponse, lease=lease)
        apply = pb.ApplyRequest(diff=layer, mounts=answer.mounts)
        applied = await self._call("diff.v1.Diff", "Apply", apply, pb.ApplyResponse, lease=lease, deadline=600)
        commit = pb.CommitSnapshotRequest(snapshotter=snapshotter, name=chain_id, key=key)
        try:
            await self._call("snapshots.v1.Snapshots", "Commit", commit, lease=lease)
        except RuntimeFailure as error:
            if error.code != "AlreadyExists":
                raise
            request = pb.RemoveSnapshotRequest(snapshotter=snapshotter, key=key)
            await self._call("snapshots.v1.Snapshots", "Remove", request)
        return str(applied.applied.digest)

    # ---- events

    async def task_events(self) -> AsyncIterator[tuple[str, str]]:
        """(container id, "started" | "exited" | "") for each change of a container's first process."""
        filters = [f'topic=="/tasks/{name}",namespace=={NAMESPACE}' for name in ("start", "exit", "oom", "delete")]
        call = self._channel.unary_stream(
            "/containerd.services.events.v1.Events/Subscribe",
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.Envelope.FromString,
        )(pb.SubscribeRequest(filters=filters))
        try:
            async for envelope in call:
                seen = _decode_event(envelope)
                if seen is not None:
                    yield seen
        except grpc.aio.AioRpcError as error:
            raise client.failure(error) from None


def _metadata(lease: str) -> tuple[tuple[str, str], ...]:
    namespace = (("containerd-namespace", NAMESPACE),)
    return (*namespace, ("containerd-lease", lease)) if lease else namespace


def _write_requests(source: BinaryIO, size: int, digest: str, labels: dict[str, str]) -> Iterator[Any]:
    ref = f"steersman-{digest}"
    offset = 0
    while offset < size:
        data = source.read(min(_CHUNK, size - offset))
        if not data:
            raise ValueError(f"the archive ends inside {digest}")
        yield pb.WriteContentRequest(action=pb.WRITE, ref=ref, total=size, expected=digest, offset=offset, data=data)
        offset += len(data)
    yield pb.WriteContentRequest(action=pb.COMMIT, ref=ref, total=size, expected=digest, offset=offset, labels=labels)


def _decode_event(envelope: Any) -> tuple[str, str] | None:
    if envelope.topic == "/tasks/exit":
        exited = pb.TaskExit.FromString(envelope.event.value)
        # The exit of an exec'd process has an id of its own.
        return (exited.container_id, "exited") if exited.id == exited.container_id else None
    if envelope.topic == "/tasks/start":
        return pb.TaskStart.FromString(envelope.event.value).container_id, "started"
    return pb.TaskOom.FromString(envelope.event.value).container_id, ""
