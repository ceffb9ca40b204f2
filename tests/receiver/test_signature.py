"""The signature: what OneStock signed is accepted, everything else is refused with a reason for our log."""

import pytest

from relay.errors import SignatureError
from relay.receiver.signature import sign, verify
from relay.settings.receiver import SignedString

T = 1735689600
BODY = b'{"order_id":"A-1"}'
# printf '%s' '1735689600.{"order_id":"A-1"}' | openssl dgst -sha256 -hmac new-key
BODY_SIGNED = "e7a2c002530f328366208a6d16da03ead3389678125a7d381af020fb0e380d24"
# printf '%s' '1735689600' | openssl dgst -sha256 -hmac new-key
TIMESTAMP_SIGNED = "d1896a5cd993c5f98b8224034d48300b940b123c91652bd27a5ee13c255b4244"


def check(
    header: str | None,
    body: bytes = BODY,
    *,
    keys: tuple[bytes, ...] = (b"new-key",),
    signed_string: SignedString = SignedString.TIMESTAMP_BODY,
    tolerance_seconds: float = 60,
    now: float = T,
) -> bool:
    """Return True if the signature is accepted."""
    verify(header, body, keys=keys, signed_string=signed_string, tolerance_seconds=tolerance_seconds, now=now)
    return True


@pytest.mark.parametrize(
    "header", [f"t={T}.h0={BODY_SIGNED}", f"t={T},h0={BODY_SIGNED}", f"h9=x, h1={BODY_SIGNED}, t={T}"]
)
def test_both_separators_and_any_order_are_read(header: str) -> None:
    assert check(header)


def test_the_timestamp_alone_can_be_what_is_signed() -> None:
    assert check(f"t={T},h0={TIMESTAMP_SIGNED}", signed_string=SignedString.TIMESTAMP)


@pytest.mark.parametrize("ours", [(b"new",), (b"old",), (b"oldest",), (b"unknown", b"oldest")])
def test_any_key_that_both_sides_know_is_enough(ours: tuple[bytes, ...]) -> None:
    header = sign(BODY, keys=[b"new", b"old", b"oldest"], timestamp=T, signed_string=SignedString.TIMESTAMP_BODY)

    assert check(header, keys=ours)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "header missing"),
        ("", "part t"),
        (f"h0={BODY_SIGNED}", "part t"),
        (f"t=+{T},h0={BODY_SIGNED}", "part t"),
        (f"t=١٢٣,h0={BODY_SIGNED}", "part t"),
        (f"t={T},t={T},h0={BODY_SIGNED}", "repeated"),
        (f"t={T}", "no part h0"),
        (f"t={T},h0={BODY_SIGNED.upper()}", "no part h0"),
        (f"t={T},h0={BODY_SIGNED}é", "no part h0"),
        (f"t={T},h3={BODY_SIGNED}", "no part h0"),
        (f"t={T},h0={'0' * 64}", "no configured hash key"),
        (f"t={T + 1},h0={BODY_SIGNED}", "no configured hash key"),
    ],
)
def test_what_is_wrong_is_named_for_our_log(header: str | None, reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        check(header)


@pytest.mark.parametrize("now", [T - 61, T + 61])
def test_too_old_and_too_new_are_refused(now: float) -> None:
    with pytest.raises(SignatureError, match="61 s old"):
        check(f"t={T},h0={BODY_SIGNED}", now=now)


def test_a_tolerance_of_zero_is_zero() -> None:
    with pytest.raises(SignatureError, match="tolerated are 0 s"):
        check(f"t={T},h0={BODY_SIGNED}", tolerance_seconds=0, now=T + 1)


def test_no_configured_key_accepts_nothing() -> None:
    with pytest.raises(SignatureError, match="no configured hash key"):
        check(f"t={T},h0={BODY_SIGNED}", keys=())
