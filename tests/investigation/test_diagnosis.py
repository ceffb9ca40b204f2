"""A captured signature is diagnosed: whatever the reading, it is found and named, with the part and the key."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import pytest

from relay.investigation.diagnosis import Capture, Diagnosis, diagnose
from relay.receiver.signature import HEADER, sign
from relay.settings.receiver import SignedString

T = 1735689600
BODY = b'{"order_id": "A/1", "gr\xc3\xb6sse": 2}'
KEYS = (b"new-key", b"0123456789abcdef")


def diagnosis(value: str, *, header: str = HEADER, body: bytes = BODY, keys: tuple[bytes, ...] = KEYS) -> Diagnosis:
    return diagnose(Capture(headers=(("Host", "x"), (header, value)), body=body), keys)


def reading_of(value: str, *, header: str = HEADER, body: bytes = BODY, keys: tuple[bytes, ...] = KEYS) -> str:
    return str(diagnosis(value, header=header, body=body, keys=keys).reading)


def mac(signed: bytes, *, key: bytes = KEYS[0], digest: str = "sha256") -> bytes:
    return hmac.new(key, signed, digest).digest()


@pytest.mark.parametrize(
    ("signed", "named"),
    [
        (b"1735689600." + BODY, "'t.body'"),
        (b"1735689600", "'t'"),
        (b"1735689600" + BODY, "'tbody'"),
        (BODY + b"1735689600", "'bodyt'"),
        (BODY, "'body'"),
        (b"1735689600:" + BODY, "'t:body'"),
        (b"1735689600\n" + BODY, r"'t\nbody'"),
        (b"t=1735689600." + BODY, "'t=T.body'"),
        (BODY + b"|1735689600", "'body|t'"),
        (b"1735689600." + BODY + b"\n", "'None'"),
        (json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode(), "JSON.stringify"),
        (rb'1735689600.{"order_id":"A\/1","gr\u00f6sse":2}', "PHP's json_encode"),
        (json.dumps(json.loads(BODY)).encode(), "json.dumps"),
    ],
)
def test_every_signed_string_is_named(signed: bytes, named: str) -> None:
    reading = reading_of(f"t={T},h0={mac(signed).hex()}")

    assert reading == "None" if named == "'None'" else named in reading


def test_a_body_that_the_capture_has_padded_is_found() -> None:
    signed = b"1735689600." + BODY

    assert "white space" in reading_of(f"t={T},h0={mac(signed).hex()}", body=BODY + b"\r\n")


@pytest.mark.parametrize("digest", ["sha256", "sha1", "sha512", "sha384", "sha224", "md5", "sha3_256", "blake2b"])
def test_every_digest_is_named(digest: str) -> None:
    reading = reading_of(f"t={T},h0={mac(BODY, digest=digest).hex()}")

    assert reading.startswith(f"HMAC-{digest.upper().replace('_', '-')} of 'body' in hex")


@pytest.mark.parametrize("key_first", [True, False])
def test_a_plain_hash_over_key_and_text_is_named(key_first: bool) -> None:  # noqa: FBT001 - a parameter of the test
    text = b"1735689600." + BODY
    value = hashlib.sha1(KEYS[0] + text if key_first else text + KEYS[0], usedforsecurity=False).hexdigest()

    named = "SHA1 of key and text" if key_first else "SHA1 of text and key"
    assert reading_of(f"t={T},h0={value}").startswith(named)


@pytest.mark.parametrize(
    ("encode", "named"),
    [
        (bytes.hex, "hex"),
        (lambda value: value.hex().upper(), "upper-case hex"),
        (lambda value: base64.b64encode(value).decode(), "base64"),
        (lambda value: base64.b64encode(value).decode().rstrip("="), "base64"),
        (lambda value: base64.urlsafe_b64encode(value).decode(), "base64url"),
    ],
)
def test_every_encoding_is_named(encode: Callable[[bytes], str], named: str) -> None:
    body = next(bytes([n]) for n in range(256) if {b"+", b"/"} & set(_letters(base64.b64encode(mac(bytes([n]))))))

    assert f"of 'body' in {named}:" in reading_of(f"t={T},h0={encode(mac(body))}", body=body)


def _letters(text: bytes) -> list[bytes]:
    return [bytes([letter]) for letter in text]


@pytest.mark.parametrize(
    ("key", "formed", "named"),
    [
        (b"00ff10", bytes.fromhex("00ff10"), "decoded from hex"),
        (b"AP8Q+w==", base64.b64decode("AP8Q+w=="), "decoded from base64"),
        (b"AP8Q-w", base64.b64decode("AP8Q+w=="), "decoded from base64url"),
        (b"a-key", b"a-key\n", "with a line feed at its end"),
    ],
)
def test_every_form_of_the_key_is_named(key: bytes, formed: bytes, named: str) -> None:
    reading = reading_of(f"t={T},h0={mac(BODY, key=formed).hex()}", keys=(b"other", key))

    assert f"(the key {named}): h0 with key 2" in reading


@pytest.mark.parametrize("form", ["t={t},h0={mac}", "t={t}.h0={mac}", "t={t}.h9=x,h0={mac}", "t={t};h0={mac}", "{mac}"])
def test_every_separator_is_read(form: str) -> None:
    found = diagnosis(form.format(t=T, mac=mac(BODY).hex()), header="X-Signature").reading

    assert found is not None
    assert {match.part for match in found.matches} == {"" if form == "{mac}" else "h0"}
    assert found.matches[0].header == "X-Signature"


@pytest.mark.parametrize("signed_string", list(SignedString))
@pytest.mark.parametrize("separator", [",", "."])
def test_what_the_relay_can_read_is_named_as_a_setting(signed_string: SignedString, separator: str) -> None:
    value = sign(BODY, keys=[b"old", *KEYS], timestamp=T, signed_string=signed_string, separator=separator)

    found = diagnosis(value).reading

    assert found is not None
    assert found.setting is signed_string
    assert [(match.part, match.key_number) for match in found.matches] == [("h1", 1), ("h2", 2)]


@pytest.mark.parametrize("value", [f"t={T},h0={mac(BODY).hex()}", f"t={T};h0={mac(str(T).encode()).hex()}"])
def test_what_the_relay_cannot_read_names_no_setting(value: str) -> None:
    found = diagnosis(value).reading

    assert found is not None
    assert found.setting is None


def test_where_nothing_matches_it_says_what_it_saw() -> None:
    found = diagnosis(f"t={T},h0={'ab' * 32},v=1")

    assert found.reading is None
    assert found.tried > 10_000
    assert [text.split(":")[0] for text in found.seen] == [f"{HEADER} h0", f"{HEADER} t"]


def test_a_body_that_is_not_whole_is_not_tried() -> None:
    value = sign(BODY, keys=KEYS, timestamp=T, signed_string=SignedString.TIMESTAMP)
    cut = Capture(headers=((HEADER, value),), body=BODY[:5], body_is_whole=False)

    found = diagnose(cut, KEYS)

    assert found.reading is not None
    assert found.reading.setting is SignedString.TIMESTAMP


def test_a_bounded_search_says_that_it_is_not_complete() -> None:
    capture = Capture(headers=((HEADER, f"t={T},h0={'ab' * 32}"),), body=b"x" * 10_000)

    found = diagnose(capture, KEYS, max_hashed_bytes=50_000)

    assert not found.is_complete
    assert found.tried < 100


def test_neither_a_key_nor_a_signature_is_shown() -> None:
    value = mac(BODY).hex()

    shown = repr(diagnosis(f"t={T},h0={value}")) + repr(diagnosis(f"t={T},h0={value}", keys=(b"another-key",)))

    assert value not in shown
    assert not any(key.decode() in shown for key in (*KEYS, b"another-key"))
