"""The ciphers of EncryptionConfiguration: aescbc, aesgcm, secretbox, and what a KMS's seeds are used with.

Each is a key made ready: encrypt(plain, context) and decrypt(stored, context). The context is the object's place in the
store, which AES-GCM binds the stored bytes to: moved elsewhere they can no longer be read. Layouts are the original's, so that
what either program wrote the other can read. Unreadable says why stored bytes are no use. CPU only; nothing is kept between
calls but keys.
"""

from __future__ import annotations

import os
from typing import Protocol

_NONCE = 12  # bytes of AES-GCM's
_BLOCK = 16
_INFO = 32  # bytes from which, with a seed, the key of one value is derived
SEED = 32


class Unreadable(ValueError):
    """Stored bytes that no key here can read."""


class Cipher(Protocol):
    def encrypt(self, plain: bytes, context: bytes) -> bytes: ...

    def decrypt(self, stored: bytes, context: bytes) -> bytes: ...


class AesGcm:
    """Nonce (12 bytes), then ciphertext with tag. A key may encrypt some 200,000 values: nonces are random."""

    sizes = (16, 24, 32)

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, plain, context)

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        if len(stored) < _NONCE:
            raise Unreadable("the stored data was shorter than the required size")
        try:
            return self._aead.decrypt(stored[:_NONCE], stored[_NONCE:], context)
        except InvalidTag as error:
            raise Unreadable("cipher: message authentication failed") from error


class AesCbc:
    """Initialisation vector (16 bytes), then blocks padded as in PKCS #7. Nothing tells whether they were tampered with."""

    sizes = (16, 24, 32)

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES

        self._algorithm = AES(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher as Mode
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        vector = os.urandom(_BLOCK)
        padding = _BLOCK - len(plain) % _BLOCK
        work = Mode(self._algorithm, CBC(vector)).encryptor()
        return vector + work.update(plain + bytes([padding]) * padding) + work.finalize()

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher as Mode
        from cryptography.hazmat.primitives.ciphers.modes import CBC

        if len(stored) < _BLOCK:
            raise Unreadable("the stored data was shorter than the required size")
        vector, blocks = stored[:_BLOCK], stored[_BLOCK:]
        if len(blocks) % _BLOCK:
            raise Unreadable("the stored data is not a multiple of the block size")
        if not blocks:
            raise Unreadable("invalid PKCS7 data (empty or not padded)")
        work = Mode(self._algorithm, CBC(vector)).decryptor()
        padded = work.update(blocks) + work.finalize()
        count = padded[-1]
        if not 1 <= count <= _BLOCK or padded[-count:] != bytes([count]) * count:
            raise Unreadable("invalid padding on input")
        return padded[:-count]


class SecretBox:
    """NaCl's XSalsa20 and Poly1305: nonce (24 bytes), then the box."""

    sizes = (32,)

    def __init__(self, key: bytes) -> None:
        from nacl.secret import SecretBox as Box

        self._box = Box(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        return bytes(self._box.encrypt(plain))

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        if len(stored) < self._box.NONCE_SIZE:
            raise Unreadable("the stored data was shorter than the required size")
        try:
            return self._box.decrypt(stored)
        except CryptoError as error:
            raise Unreadable("output array was not large enough for encryption") from error


class SeededGcm:
    """AES-GCM with a key of its own for each value, derived (HKDF-Expand, SHA-256) from a seed and 32 random bytes that are
    stored in front: so that one seed is good for any number of values."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) < SEED:
            raise Unreadable(f"invalid seed length {len(seed)} used for key generation")
        self._seed = seed

    def _key(self, info: bytes) -> AesGcm:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

        return AesGcm(HKDFExpand(hashes.SHA256(), 32, info).derive(self._seed))

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        info = os.urandom(_INFO)
        return info + self._key(info).encrypt(plain, context)

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        if len(stored) < _INFO:
            raise Unreadable("the stored data was shorter than the required size")
        return self._key(stored[:_INFO]).decrypt(stored[_INFO:], context)
