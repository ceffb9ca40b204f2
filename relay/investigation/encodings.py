"""The algorithms, the encodings and the forms of the key that a signature may be made with, the likely ones first."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial

DIGESTS = ("sha256", "sha1", "sha512", "sha384", "sha224", "md5", "sha3_256", "blake2b")

Make = Callable[[bytes, Sequence[bytes]], bytes]
"""Makes a digest from a key and the pieces of the signed text."""


def _hmac(name: str) -> Make:
    return lambda key, pieces: hmac.digest(key, b"".join(pieces), name)


def _plain(name: str, *, key_first: bool) -> Make:
    def make(key: bytes, pieces: Sequence[bytes]) -> bytes:
        return hashlib.new(name, b"".join([key, *pieces] if key_first else [*pieces, key])).digest()

    return make


MACS: list[tuple[str, Make]] = [
    *((f"HMAC-{name.upper().replace('_', '-')}", _hmac(name)) for name in DIGESTS),
    *((f"{name.upper()} of key and text", _plain(name, key_first=True)) for name in ("sha256", "sha1", "md5")),
    *((f"{name.upper()} of text and key", _plain(name, key_first=False)) for name in ("sha256", "sha1", "md5")),
]


def _unhexed(text: str, *, is_upper: bool) -> bytes | None:
    if text != (text.upper() if is_upper else text.lower()):
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _unbased(text: str, *, is_url: bool) -> bytes | None:
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if is_url else None, validate=True)
    except (binascii.Error, ValueError):
        return None


ENCODINGS: dict[str, Callable[[str], bytes | None]] = {
    "hex": partial(_unhexed, is_upper=False),
    "upper-case hex": partial(_unhexed, is_upper=True),
    "base64": partial(_unbased, is_url=False),
    "base64url": partial(_unbased, is_url=True),
}


def _decoded_key(key: bytes, encoding: str) -> bytes | None:
    try:
        return ENCODINGS[encoding](key.decode()) or None
    except UnicodeDecodeError:
        return None


KEY_FORMS: dict[str, Callable[[bytes], bytes | None]] = {
    "text": lambda key: key,
    "decoded from hex": lambda key: _decoded_key(key.lower(), "hex"),
    "decoded from base64": lambda key: _decoded_key(key, "base64"),
    "decoded from base64url": lambda key: _decoded_key(key, "base64url"),
    "with a line feed at its end": lambda key: key + b"\n",
}
