"""What a rule's providers do: one writes, all of them read, each known by the prefix of what it wrote.

    Providers(...).write(plain, context)            stored bytes
    .read(stored, context)                          (plain, whether it should be written anew); KeyWanted, Unreadable

Calls are synchronous, as they sit where each object is written. A key that only a KMS can give is asked for in between:
KeyWanted carries what to await before the call is made again. Used by backend.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from apiserver.storage.encryption.ciphers import AesCbc, AesGcm, Cipher, SecretBox, Unreadable
from apiserver.storage.encryption.configuration import Provider

_ANY = b"k8s:enc:"
_CIPHERS: dict[str, Callable[[bytes], Cipher]] = {"aescbc": AesCbc, "aesgcm": AesGcm, "secretbox": SecretBox}


class KeyWanted(Exception):
    """A key has to be fetched first."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.fetch = fetch


class CannotEncrypt(Exception):
    """No key to write with; the text says why."""


class Transformer(Protocol):
    """One provider at work. prefix: what its stored bytes begin with."""

    prefix: bytes

    def write(self, plain: bytes, context: bytes) -> bytes:
        """What follows the prefix. CannotEncrypt."""

    def read(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        """From what follows the prefix: (plain, stale). Unreadable, KeyWanted."""


class Identity:
    """Stores as it is."""

    prefix = b""

    def write(self, plain: bytes, context: bytes) -> bytes:
        return plain

    def read(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        if stored.startswith(_ANY):
            raise Unreadable("identity transformer tried to read encrypted data")
        return stored, False


class Keyed:
    """A cipher with keys by name; the first writes."""

    def __init__(self, provider: Provider) -> None:
        self.prefix = f"k8s:enc:{provider.kind}:v1:".encode()
        self._noun = "Secretbox" if provider.kind == "secretbox" else "AES"
        make = _CIPHERS[provider.kind]
        self._keys = [(name.encode() + b":", make(key)) for name, key in provider.keys]

    def write(self, plain: bytes, context: bytes) -> bytes:
        name, cipher = self._keys[0]
        return name + cipher.encrypt(plain, context)

    def read(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        problem = Unreadable(f"no matching key was found for the provided {self._noun} transformer")
        for position, (name, cipher) in enumerate(self._keys):
            if stored.startswith(name):
                try:
                    return cipher.decrypt(stored[len(name) :], context), position > 0
                except Unreadable as error:  # several keys may have one name
                    problem = error
        raise problem


class Providers:
    """The providers of one rule, in their order."""

    def __init__(self, transformers: Sequence[Transformer]) -> None:
        self._transformers = list(transformers)

    def write(self, plain: bytes, context: bytes) -> bytes:
        first = self._transformers[0]
        return first.prefix + first.write(plain, context)

    def read(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        problem = Unreadable("no matching prefix found")
        for position, transformer in enumerate(self._transformers):
            if not stored.startswith(transformer.prefix):
                continue
            if not transformer.prefix and stored.startswith(_ANY):
                continue  # written by some other provider
            try:
                plain, stale = transformer.read(stored[len(transformer.prefix) :], context)
            except Unreadable as error:
                problem = error
                continue
            return plain, stale or position > 0
        raise problem


PLAIN = Providers([Identity()])
