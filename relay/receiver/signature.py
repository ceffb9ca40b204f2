"""The `Onestock-Signature` header: sign and verify. No I/O: text and bytes in, nothing or SignatureError out.

Source of the format: "Webhook configuration" (OneStock). The header has the parts `t` (Unix seconds) and
`h0`, `h1`, `h2`: one HMAC-SHA256 in lower-case hex for each live hash key, newest first. The documentation
shows the parts separated by `.` in one place and by `,` in another, so both are read.
"""

import hmac
import re
from collections.abc import Sequence

from relay.errors import SignatureError
from relay.settings.receiver import SignedString

HEADER = "Onestock-Signature"

_SEPARATOR = re.compile(r"[.,]")
_SIGNATURE_PARTS = ("h0", "h1", "h2")
# ASCII digits only: int() would also take signs, spaces, underscores and the digits of other scripts.
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_HEX_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def sign(
    body: bytes, *, keys: Sequence[bytes], timestamp: int, signed_string: SignedString, separator: str = ","
) -> str:
    """Return the header that OneStock would send for `body`.

    `keys` are the live hash keys, newest first, three at most; `timestamp` is in Unix seconds.
    """
    parts = [f"t={timestamp}"]
    for name, key in zip(_SIGNATURE_PARTS, keys, strict=False):
        parts.append(f"{name}={_digest(key, str(timestamp), body, signed_string)}")
    return separator.join(parts)


def verify(
    header: str | None,
    body: bytes,
    *,
    keys: Sequence[bytes],
    signed_string: SignedString,
    tolerance_seconds: float,
    now: float,
) -> None:
    """Return if any of our `keys` signed `body`, and the timestamp is within the tolerance of `now`.

    `header` is the header's text as WSGI gives it (None where it is absent), `now` is in Unix seconds.
    A timestamp from the future is held to the same tolerance; a tolerance of 0 means zero, not "off".

    Raises SignatureError, and nothing else, whatever the header and the body are.
    """
    if header is None:
        raise SignatureError("header missing")
    timestamp, received = _parse(header)
    # Every candidate is computed before deciding, so that the time taken does not tell which key matched.
    matches = [
        hmac.compare_digest(_digest(key, timestamp, body, signed_string), signature)
        for key in keys
        for signature in received
    ]
    if not any(matches):
        raise SignatureError("no configured hash key matches")
    age_seconds = now - int(timestamp)
    if abs(age_seconds) > tolerance_seconds:
        raise SignatureError(f"timestamp is {age_seconds:.0f} s old, tolerated are {tolerance_seconds:.0f} s")


def _parse(header: str) -> tuple[str, list[str]]:
    """Return the timestamp's digits and the signatures. Unknown parts are ignored, repeated ones refused."""
    parts: dict[str, str] = {}
    for part in _SEPARATOR.split(header):
        name, _, value = part.strip().partition("=")
        if name in parts and (name == "t" or name in _SIGNATURE_PARTS):
            raise SignatureError(f"part {name} is repeated")
        parts[name] = value
    timestamp = parts.get("t")
    if timestamp is None or not _UNIX_SECONDS.fullmatch(timestamp):
        raise SignatureError("part t is missing or not in Unix seconds")
    present = [parts[name] for name in _SIGNATURE_PARTS if name in parts]
    signatures = [value for value in present if _HEX_SHA256.fullmatch(value)]
    if not signatures:
        raise SignatureError("no part h0, h1 or h2 holds a SHA-256 in hex")
    return timestamp, signatures


def _digest(key: bytes, timestamp: str, body: bytes, signed_string: SignedString) -> str:
    mac = hmac.new(key, timestamp.encode("ascii"), "sha256")
    if signed_string is SignedString.TIMESTAMP_BODY:
        mac.update(b".")
        mac.update(body)
    return mac.hexdigest()
