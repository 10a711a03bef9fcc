"""A key management service's plugin for tests: the real protocol over a real unix socket, with keys that can be turned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from cryptography.fernet import Fernet

from apiserver.storage.encryption import kms_pb2 as pb


class Plugin:
    """keys: by id; `current` encrypts. healthz: what Status says. calls: names of the calls in order."""

    def __init__(self) -> None:
        self.keys = {"key-1": Fernet(Fernet.generate_key())}
        self.current = "key-1"
        self.healthz = "ok"
        self.calls: list[str] = []

    def turn(self, key_id: str) -> None:
        """Encrypt with another key from now on; the old ones still decrypt."""
        self.keys[key_id] = Fernet(Fernet.generate_key())
        self.current = key_id

    async def status(self, request: Any, context: Any) -> Any:
        self.calls.append("Status")
        return pb.StatusResponse(version="v2", healthz=self.healthz, key_id=self.current)

    async def encrypt(self, request: Any, context: Any) -> Any:
        self.calls.append("Encrypt")
        sealed = self.keys[self.current].encrypt(request.plaintext)
        return pb.EncryptResponse(ciphertext=sealed, key_id=self.current, annotations={"plugin.example.com": b"1"})

    async def decrypt(self, request: Any, context: Any) -> Any:
        self.calls.append("Decrypt")
        key = self.keys.get(request.key_id)
        if key is None or dict(request.annotations) != {"plugin.example.com": b"1"}:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
        assert key is not None
        return pb.DecryptResponse(plaintext=key.decrypt(request.ciphertext))


@asynccontextmanager
async def serving(socket: Path, plugin: Plugin) -> AsyncIterator[None]:
    """The plugin answers at that socket until the block ends."""
    server = grpc.aio.server()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=getattr(pb, f"{name}Request").FromString,
            response_serializer=getattr(pb, f"{name}Response").SerializeToString,
        )
        for name, call in (("Status", plugin.status), ("Encrypt", plugin.encrypt), ("Decrypt", plugin.decrypt))
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
