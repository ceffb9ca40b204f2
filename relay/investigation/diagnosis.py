"""Finds out how a webhook is signed, by trying every reading of its signature. No I/O: a capture in, a diagnosis out.

OneStock's documentation leaves open which text is signed, how, and how the signature is written (docs/signature.md).
"""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from relay.investigation.encodings import DIGESTS, ENCODINGS, KEY_FORMS, MACS, Make
from relay.receiver.signature import HEADER
from relay.settings.receiver import SignedString

_CUTS = (",", ".", ".,", ";", " ", "&", "|")
_PART = re.compile(r"\s*([A-Za-z][\w-]{0,30})=(.+)", re.ASCII | re.DOTALL)
_TIMESTAMP = re.compile(r"[0-9]{9,14}", re.ASCII)
_SIZES = {hashlib.new(name).digest_size for name in DIGESTS}
_BETWEEN = (".", "", ",", ":", "\n", "|", "_", "-", " ", ";", "&", "+", "/")
_READABLE_PARTS = ("h0", "h1", "h2")

Header = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A webhook as it arrived."""

    headers: tuple[Header, ...]
    body: bytes
    body_is_whole: bool = True
    """False if the body was cut or masked: then only a signature over the timestamp alone can match."""
    event_type: str = ""
    """Empty if the capture does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A part of a header that holds a signature with one of the keys."""

    header: str
    part: str
    """Such as `h0`; empty if the whole header is the signature."""
    key_number: int
    """1 for the newest key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read a signature: how it is made, and where it stands."""

    signed: str
    """The text that is signed, such as `t.body`."""
    digest: str
    """The algorithm, such as `HMAC-SHA256`."""
    encoding: str
    """How the signature is written, such as `hex`."""
    key_form: str
    """How the key is turned into bytes, such as `text`."""
    separators: str
    """The characters between the header's parts."""
    matches: tuple[Match, ...]

    @property
    def setting(self) -> SignedString | None:
        """The value of ONESTOCK_SIGNED_STRING with which the relay verifies this; None if it cannot."""
        own = (self.digest, self.encoding, self.key_form) == ("HMAC-SHA256", "hex", "text")
        is_where_we_look = all(m.header.lower() == HEADER.lower() and m.part in _READABLE_PARTS for m in self.matches)
        if not own or not is_where_we_look or not set(self.separators) <= {",", "."}:
            return None
        return {"t.body": SignedString.TIMESTAMP_BODY, "t": SignedString.TIMESTAMP}.get(self.signed)

    def __str__(self) -> str:
        keys = ", ".join(f"{match.part or 'the whole header'} with key {match.key_number}" for match in self.matches)
        form = "" if self.key_form == "text" else f" (the key {self.key_form})"
        return f"{self.digest} of {self.signed!r} in {self.encoding}{form}: {keys}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The result of trying all readings: the one that matches, and what the headers hold."""

    reading: Reading | None
    """None if no reading matches."""
    seen: tuple[str, ...]
    """The parts of headers that may be a signature or a time."""
    tried: int
    """How many readings were tried."""
    is_complete: bool = True
    """False if the search ended at its bound of hashed bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed:
    """A part of a header that may be a signature, and how it is written."""

    header: str
    part: str
    encoding: str
    separators: str


def diagnose(capture: Capture, keys: Sequence[bytes], *, max_hashed_bytes: int | None = None) -> Diagnosis:
    """Try every reading of the capture's signature, the likely ones first, with each of the keys, newest first.

    `max_hashed_bytes` bounds the work. A complete search over a body of 1 kB takes about 50 ms.
    """
    claimed = _claimed(capture.headers)
    seen = tuple(_seen(capture.headers))
    tried = hashed_bytes = 0
    for (digest, make), form, (signed, pieces) in _readings(capture) if claimed and keys else ():
        found: list[tuple[_Claimed, int]] = []
        for number, key in enumerate(keys, start=1):
            formed = KEY_FORMS[form](key)
            if formed is not None:
                tried += 1
                hashed_bytes += sum(map(len, pieces))
                found += [(one, number) for one in claimed.get(make(formed, pieces), ())]
        if found:
            return Diagnosis(reading=_reading(digest, form, signed, found), seen=seen, tried=tried)
        if max_hashed_bytes is not None and hashed_bytes > max_hashed_bytes:
            return Diagnosis(reading=None, seen=seen, tried=tried, is_complete=False)
    return Diagnosis(reading=None, seen=seen, tried=tried)


def _reading(digest: str, form: str, signed: str, found: list[tuple[_Claimed, int]]) -> Reading:
    matches = {(one.header, one.part, number): None for one, number in found}
    return Reading(
        signed=signed,
        digest=digest,
        encoding=found[0][0].encoding,
        key_form=form,
        separators="".join(sorted({char for one, _ in found for char in one.separators})),
        matches=tuple(Match(header=header, part=part, key_number=number) for header, part, number in matches),
    )


# --- The parts of the headers -----------------------------------------------------------------------------------------


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (separators, name, value) for the header as a whole, and for its parts by each set of separators."""
    yield "", "", text.strip()
    for cut in _CUTS:
        for part in re.split(f"[{re.escape(cut)}]", text):
            match = _PART.fullmatch(part)
            if match is not None:
                yield cut, match[1], match[2].strip()


def _claimed(headers: Sequence[Header]) -> dict[bytes, list[_Claimed]]:
    claimed: dict[bytes, list[_Claimed]] = {}
    known: set[tuple[str, str, str]] = set()
    for header, text in headers:
        for separators, part, value in _parts(text):
            if (header, part, value) in known:
                continue
            known.add((header, part, value))
            for encoding, digest in _decoded(value):
                one = _Claimed(header=header, part=part, encoding=encoding, separators=separators)
                claimed.setdefault(digest, []).append(one)
    return claimed


def _decoded(value: str) -> Iterator[tuple[str, bytes]]:
    """Yield (encoding, bytes) for each encoding in which the text is as long as a digest."""
    for encoding, decode in ENCODINGS.items():
        decoded = decode(value)
        if decoded is not None and len(decoded) in _SIZES:
            yield encoding, decoded


def _timestamps(headers: Sequence[Header]) -> list[tuple[str, str]]:
    """Return (name, digits) of each part of a header, and each header, that may be a time; `t` first."""
    found: dict[str, str] = {}
    for header, text in headers:
        for _, part, value in _parts(text):
            if _TIMESTAMP.fullmatch(value):
                found.setdefault(value, part or header)
    return [(name, digits) for digits, name in sorted(found.items(), key=lambda item: item[1] != "t")]


def _seen(headers: Sequence[Header]) -> Iterator[str]:
    for header, text in headers:
        parts = {(part, value) for _, part, value in _parts(text) if part}
        for part, value in sorted(parts) or [("", text)]:
            looks = [f"{encoding} of {len(digest)} bytes" for encoding, digest in _decoded(value)]
            if _TIMESTAMP.fullmatch(value):
                looks = ["a time"]
            if looks:
                yield f"{header}{f' {part}' if part else ''}: {len(value)} characters, perhaps {looks[0]}"


# --- The readings -----------------------------------------------------------------------------------------------------


def _readings(capture: Capture) -> Iterator[tuple[tuple[str, Make], str, tuple[str, list[bytes]]]]:
    """Yield (algorithm, key form, signed text), the likely ones first."""
    signed = list(_signed(capture))
    return itertools.product(MACS, KEY_FORMS, signed)


def _signed(capture: Capture) -> Iterator[tuple[str, list[bytes]]]:
    """Yield (description, pieces) of each text that may be signed."""
    times = [(name, digits, digits.encode()) for name, digits in _timestamps(capture.headers)]
    bodies = list(_bodies(capture.body)) if capture.body_is_whole else []
    for name, _, digits in times:
        yield "t" if name == "t" else name, [digits]
    for (body_name, body), (_, text, digits) in itertools.product(bodies, times):
        for between in _BETWEEN:
            yield f"t{between}{body_name}", [digits, between.encode(), body]
            yield f"{body_name}{between}t", [body, between.encode(), digits]
            yield f"t=T{between}{body_name}", [f"t={text}{between}".encode(), body]
    for body_name, body in bodies:
        yield body_name, [body]


def _bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (description, bytes) of the body as it came, and as it may have been before a proxy wrote it anew."""
    yield "body", body
    known = {body}
    for name, rewrite in _REWRITTEN.items():
        try:
            rewritten = rewrite(body)
        except (ValueError, RecursionError):
            continue
        if rewritten not in known:
            known.add(rewritten)
            yield name, rewritten


def _dumped(body: bytes, *, separators: tuple[str, str] | None, is_ascii: bool, is_sorted: bool = False) -> bytes:
    return json.dumps(json.loads(body), separators=separators, ensure_ascii=is_ascii, sort_keys=is_sorted).encode()


_REWRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "body without white space around it": bytes.strip,
    "body as JSON.stringify writes it": partial(_dumped, separators=(",", ":"), is_ascii=False),
    "body as PHP's json_encode writes it": lambda body: _dumped(body, separators=(",", ":"), is_ascii=True).replace(
        b"/", rb"\/"
    ),
    "body as Python's json.dumps writes it": partial(_dumped, separators=None, is_ascii=True),
    "body with sorted keys": partial(_dumped, separators=(",", ":"), is_ascii=False, is_sorted=True),
}
