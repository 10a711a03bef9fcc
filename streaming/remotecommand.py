"""exec and attach between a WebSocket client and a SPDY backend: what the original's stream translator does.

The client speaks v5.channel.k8s.io (or v4): each message begins with a channel byte. The backend speaks SPDY with
v4.channel.k8s.io: a stream per channel, told apart by a streamType header, opened in the order that kubelet expects
(error, stdin, stdout, stderr, resize).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streaming.spdy import Session, Stream
from streaming.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
SPDY_VERSIONS = (V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")


async def open_streams(session: Session, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> dict[int, Stream]:
    """Open the streams that the options ask for; by channel number."""
    wanted = [(ERROR, "error", True), (STDIN, "stdin", stdin), (STDOUT, "stdout", stdout)]
    wanted += [(STDERR, "stderr", stderr and not tty), (RESIZE, "resize", tty)]
    return {channel: await session.open({"streamType": name}) for channel, name, on in wanted if on}


async def translate(
    socket: WebSocket, session: Session, streams: Mapping[int, Stream], *, status_expected: bool
) -> None:
    """Carry bytes both ways until the backend's outputs end or the client goes; then both are closed.

    status_expected: the backend tells how it ended, as exec does and attach does not. One that ends without that has been
    cut off: the client's connection then ends without a goodbye, so that a command which nobody saw finish does not look
    like one that succeeded.
    """
    told: set[int] = set()  # channels that carried something
    async with asyncio.TaskGroup() as group:
        upstream = group.create_task(_from_client(socket, streams), name="exec-input")
        outputs = [
            group.create_task(_to_client(socket, channel, streams[channel], told), name=f"exec-output-{channel}")
            for channel in (STDOUT, STDERR, ERROR)
            if channel in streams
        ]
        finished = group.create_task(_all(outputs), name="exec-outputs")
        await asyncio.wait({upstream, finished}, return_when=asyncio.FIRST_COMPLETED)
        upstream.cancel()
        finished.cancel()
        for task in outputs:
            task.cancel()
    await session.close()
    if ERROR in told or not status_expected:
        await socket.close()
    else:
        socket.abort()


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _to_client(socket: WebSocket, channel: int, stream: Stream, told: set[int]) -> None:
    prefix = bytes([channel])
    try:
        while data := await stream.read():
            await socket.send(prefix + data)
            told.add(channel)
    except ConnectionError:
        return


async def _from_client(socket: WebSocket, streams: Mapping[int, Stream]) -> None:
    """Returns when the client has gone."""
    async for data in socket.messages():
        if not data:
            continue
        channel, payload = data[0], data[1:]
        try:
            if channel == CLOSE and payload:
                stream = streams.get(payload[0])
                if stream is not None:
                    await stream.close_write()
            elif channel in (STDIN, RESIZE) and channel in streams and payload:
                await streams[channel].write(payload)
        except ConnectionError:
            continue  # that stream has ended; the client may still read the others
