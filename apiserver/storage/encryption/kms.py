"""A key management service behind a unix socket (KMS v2, KEP-3299): it keeps the key that keeps ours.

Values are encrypted here, with a seed of ours that the service has encrypted; the encrypted seed is stored with each value.
One seed writes until the service says that its key is another, or until it has not been heard of for three minutes: then
writes fail, since nobody could tell any more whether they will be readable. Seeds that are met while reading are decrypted
by the service once and kept, a bounded number of them. grpc is imported only where a KMS is configured.
"""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import times
from apimachinery.clock import Clock
from apiserver.storage.encryption.ciphers import SEED, AesGcm, Cipher, SeededGcm, Unreadable
from apiserver.storage.encryption.configuration import Provider
from apiserver.storage.encryption.providers import CannotEncrypt, KeyWanted

log = logging.getLogger(__name__)

VERSION = "v2"
HEALTHY_SECONDS = 60.0  # between looks at a service that is well
FAILING_SECONDS = 10.0
WRITE_SECONDS = 180.0  # that a seed writes after the service was last heard of
_KEPT = 1000  # seeds
_LONGEST_KEY_ID = 1024
_LONGEST_SEED = 1024
_LONGEST_ANNOTATIONS = 32 * 1024


_OPTIONS = (
    ("grpc.default_authority", "localhost"),
    # A service that is back is found again soon: else pauses grow to two minutes, and other channels' failures count.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)


class ServiceFailure(Exception):
    """The service did not answer, or not as it must; the text says how."""


class Service:
    """The calls. endpoint: unix:///path or unix://@abstract; timeout: seconds."""

    def __init__(self, endpoint: str, timeout: float) -> None:
        import grpc

        path = endpoint.removeprefix("unix://")
        target = f"unix-abstract:{path[1:].lstrip('@')}" if path.startswith(("@", "/@")) else f"unix:{path}"
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._timeout = timeout

    async def close(self, grace: float = 0.0) -> None:
        """grace: seconds for calls under way."""
        await self._channel.close(grace or None)

    async def call(self, name: str, **fields: Any) -> Any:
        """One of Status, Encrypt, Decrypt. ServiceFailure."""
        import grpc

        from apiserver.storage.encryption import kms_pb2 as pb

        request, response = getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response")
        method = self._channel.unary_unary(
            f"/v2.KeyManagementService/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            return await method(request(**fields), timeout=self._timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            details = "context deadline exceeded" if late else error.details()
            text = f"rpc error: code = {_camel(error.code().name)} desc = {details}"
            raise ServiceFailure(text) from None
        except grpc.aio.UsageError:  # of a value that is still read as the configuration before said
            raise ServiceFailure("the service is not configured any more") from None


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


@dataclass(frozen=True, slots=True)
class Writing:
    """What values are written with. until: seconds since the epoch."""

    cipher: Cipher
    key_id: str
    encrypted: bytes
    annotations: Mapping[str, bytes]
    until: float


class Kms:
    """One provider `kms`. start() before use; run() keeps it in touch with the service."""

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self.name = provider.name
        self.prefix = f"k8s:enc:kms:v2:{provider.name}:".encode()
        self._service = Service(provider.endpoint, provider.timeout)
        self._timeout = provider.timeout
        self._clock = clock
        self._writing: Writing | None = None
        self._seeds: OrderedDict[bytes, Cipher] = OrderedDict()
        self.problem = f"kmsv2 Provider {provider.name} has not been asked yet"

    async def start(self) -> None:
        """Ask the service for the first time; what is wrong is in `problem`, and asked again by run()."""
        await self._look()

    async def run(self) -> None:
        while True:
            await self._clock.sleep(FAILING_SECONDS if self.problem else HEALTHY_SECONDS)
            await self._look()

    async def close(self) -> None:
        await self._service.close()

    async def retire(self) -> None:
        """Close it once what is under way had the time to end, as long as the original lets it."""
        await self._service.close(2 * self._timeout)

    # -- the seed that writes

    async def _look(self) -> None:
        before = self.problem
        try:
            status = await self._service.call("Status")
            _check_status(status)
            await self._keep_seed(status.key_id)
            self.problem = ""
        except ServiceFailure as failure:
            self.problem = f"kmsv2 Provider {self.name} is not healthy, error: {failure}"
        if self.problem != before:
            log.log(
                logging.ERROR if self.problem else logging.INFO, "%s", self.problem or f"KMS {self.name} is healthy"
            )

    async def _keep_seed(self, key_id: str) -> None:
        """A seed that is encrypted with the key of that name, good for three minutes more."""
        until = self._clock.time() + WRITE_SECONDS
        old = self._writing
        if old is not None and old.key_id == key_id:
            self._writing = Writing(old.cipher, old.key_id, old.encrypted, old.annotations, until)
            return
        seed = os.urandom(SEED)
        answer = await self._service.call("Encrypt", plaintext=seed, uid=str(uuid.uuid4()))
        annotations = dict(answer.annotations)
        _check_sealed(answer.ciphertext, answer.key_id, annotations)
        if old is not None and answer.key_id == old.key_id:  # the service is between two keys: stay with what is known
            self._writing = Writing(old.cipher, old.key_id, old.encrypted, old.annotations, until)
            return
        self._writing = Writing(SeededGcm(seed), answer.key_id, answer.ciphertext, annotations, until)

    def write(self, plain: bytes, context: bytes) -> bytes:
        from apiserver.storage.encryption import kms_pb2 as pb

        writing, now = self._writing, self._clock.time()
        if writing is None:
            raise CannotEncrypt(self.problem)
        if now > writing.until:
            ended, shown = times.format_time(writing.until), times.format_time(now)
            digest = hashlib.sha256(writing.key_id.encode()).hexdigest()
            raise CannotEncrypt(
                f'encryptedDEKSource with keyID hash "sha256:{digest}" expired at {ended} (current time is {shown})'
            )
        made = pb.EncryptedObject(
            encrypted_data=writing.cipher.encrypt(plain, context),
            key_id=writing.key_id,
            encrypted_dek_source=writing.encrypted,
            annotations=writing.annotations,
            encrypted_dek_source_type=pb.HKDF_SHA256_XNONCE_AES_GCM_SEED,
        )
        data: bytes = made.SerializeToString()
        self._remember(_seed_key(made), writing.cipher)
        return data

    # -- reading

    def read(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        from google.protobuf.message import DecodeError

        from apiserver.storage.encryption import kms_pb2 as pb

        try:
            obj = pb.EncryptedObject.FromString(stored)
        except DecodeError as error:
            raise Unreadable(f"failed to decode the encrypted object: {error}") from error
        key = _seed_key(obj)
        cipher = self._seeds.get(key)
        if cipher is None:
            raise KeyWanted(lambda: self._fetch(key, obj))
        self._seeds.move_to_end(key)
        writing = self._writing
        stale = (
            writing is None
            or obj.key_id != writing.key_id
            or obj.encrypted_dek_source_type != pb.HKDF_SHA256_XNONCE_AES_GCM_SEED
        )
        return cipher.decrypt(obj.encrypted_data, context), stale

    async def _fetch(self, key: bytes, obj: Any) -> None:
        from apiserver.storage.encryption import kms_pb2 as pb

        try:
            answer = await self._service.call(
                "Decrypt",
                ciphertext=obj.encrypted_dek_source,
                uid=str(uuid.uuid4()),
                key_id=obj.key_id,
                annotations=dict(obj.annotations),
            )
        except ServiceFailure as failure:
            raise Unreadable(f"failed to decrypt DEK, error: {failure}") from failure
        seeded = obj.encrypted_dek_source_type == pb.HKDF_SHA256_XNONCE_AES_GCM_SEED
        try:
            self._remember(key, SeededGcm(answer.plaintext) if seeded else AesGcm(answer.plaintext))
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def _remember(self, key: bytes, cipher: Cipher) -> None:
        self._seeds[key] = cipher
        self._seeds.move_to_end(key)
        while len(self._seeds) > _KEPT:
            self._seeds.popitem(last=False)


def _seed_key(obj: Any) -> bytes:
    """What tells one encrypted seed from another."""
    digest = hashlib.sha256(bytes([obj.encrypted_dek_source_type]))
    for part in (obj.encrypted_dek_source, obj.key_id.encode(), *_flat(obj.annotations)):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _flat(annotations: Mapping[str, bytes]) -> list[bytes]:
    return [part for name in sorted(annotations) for part in (name.encode(), annotations[name])]


def _check_status(status: Any) -> None:
    problems = []
    if status.healthz != "ok":
        problems.append(f"got unexpected healthz status: {status.healthz}")
    if status.version not in (VERSION, "v2beta1"):
        problems.append(f"expected KMSv2 API version {VERSION}, got {status.version}")
    problems += _key_id_problems(status.key_id)
    if problems:
        raise ServiceFailure(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


def _check_sealed(ciphertext: bytes, key_id: str, annotations: Mapping[str, bytes]) -> None:
    problems = _key_id_problems(key_id)
    if not ciphertext:
        problems.append("encrypted DEK source is empty")
    if len(ciphertext) > _LONGEST_SEED:
        problems.append(
            f"encrypted DEK source is {len(ciphertext)} bytes, which exceeds the max size of {_LONGEST_SEED}"
        )
    size = sum(len(name) + len(value) for name, value in annotations.items())
    if size > _LONGEST_ANNOTATIONS:
        problems.append(f"total size of annotations is {size}, which exceeds the max size of {_LONGEST_ANNOTATIONS}")
    if problems:
        raise ServiceFailure(f"got invalid EncryptedObject: {', '.join(problems)}")


def _key_id_problems(key_id: str) -> list[str]:
    if not key_id:
        return ["keyID is empty"]
    size = len(key_id.encode())
    return [f"keyID is {size} bytes, which exceeds the max size of {_LONGEST_KEY_ID}"] if size > _LONGEST_KEY_ID else []
