"""Requests of any shape against each endpoint: nothing unsigned is accepted, and nothing breaks a service.

`make test-full` sends 100,000 to each.
"""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from relay.receiver.signature import sign
from relay.settings.receiver import SignedString
from tests.support.parts import HASH_KEY, OneStock, Service, order_event
from tests.support.sizes import EXAMPLES_OF_ANY_SHAPE
from tests.support.token_issuer import AUDIENCE, EMAIL, TokenIssuer
from tests.support.wire import connections, request, request_line, statuses

EXAMPLES = EXAMPLES_OF_ANY_SHAPE
REQUESTS_OF_AN_EXAMPLE = 100
SIGNED = b"(a valid signature)"
GENUINE = "(a valid token)"
ENDPOINT = b"/webhooks/onestock/order_state_changed"
REFUSALS = {400, 401, 404, 405, 413, 417}  # 417: gunicorn's answer to an expectation that HTTP does not know.

fuzzed = hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
# A header's value may hold anything but what ends it.
VALUES = st.binary(max_size=60).map(lambda value: value.translate(None, b"\r\n\0"))
EVENTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("order_id", "topic", "date", "new_state", "id"), JSON))
BODIES = st.binary(max_size=200) | EVENTS.map(lambda event: json.dumps(event).encode())
SIGNATURE_PARTS = st.sampled_from(
    [
        b"t=1735689600",
        b"t=",
        b"t=-1",
        b"t=1e9",
        b"t=\xd9\xa1",
        b"h0=" + b"a" * 64,
        b"h0=",
        b"h1=\xff",
        b"h9=x",
        b"=",
        b"t",
    ]
)
SIGNATURES = st.one_of(
    st.just(SIGNED), VALUES, st.lists(SIGNATURE_PARTS, max_size=5).map(b",".join), st.just(b"h0=" + b"0" * 64)
)
PATHS = st.sampled_from([ENDPOINT] * 12 + [b"/webhooks/onestock", b"/webhooks/onestock/%ff", b"/", b"/health", b"*"])
FURTHER_HEADERS = st.dictionaries(
    st.sampled_from(
        [b"Content-Type", b"traceparent", b"Content-Encoding", b"X-HTTP-Method-Override", b"Expect", b"Via"]
    ),
    VALUES | st.sampled_from([b"application/json", b"gzip", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"]),
    max_size=3,
)


# Each way in which the framing of a body says something else than the body: its header lines, and what is sent.
MISFITS: dict[str, Callable[[bytes], tuple[bytes, bytes]]] = {
    "longer": lambda body: (b"Content-Length: %d" % (len(body) + 10), body),
    "shorter": lambda body: (b"Content-Length: %d" % (len(body) - 1), body),
    "no number": lambda body: (b"Content-Length: many", body),
    "negative": lambda body: (b"Content-Length: -%d" % len(body), body),
    "twice": lambda body: (b"Content-Length: %d\r\nContent-Length: 0" % len(body), body),
    "both": lambda body: (b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(body), chunk(body) + b"0\r\n\r\n"),
    "chunk too long": lambda body: (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) + 9, body)),
    "chunk without a number": lambda body: (b"Transfer-Encoding: chunked", b"zz\r\n%s\r\n0\r\n\r\n" % body),
    "chunks without an end": lambda body: (b"Transfer-Encoding: chunked", chunk(body)),
    "unknown coding": lambda body: (b"Transfer-Encoding: gzip", body),
}


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def signature_of(body: bytes) -> bytes:
    timestamp = int(time.time())
    return sign(body, keys=[HASH_KEY], timestamp=timestamp, signed_string=SignedString.TIMESTAMP_BODY).encode()


def exactly(count: int, pieces: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(pieces, min_size=count, max_size=count)


@pytest.mark.timeout(600)
def test_no_webhook_of_any_shape_is_accepted_unsigned_or_breaks_the_receiver(onestock: OneStock) -> None:
    seen: Counter[tuple[bool, int]] = Counter()

    with connections(onestock.receiver.port) as http:

        @fuzzed
        @given(
            signatures=exactly(5, SIGNATURES),
            bodies=exactly(5, BODIES),
            targets=exactly(4, st.tuples(PATHS, FURTHER_HEADERS, st.booleans())),
        )
        def send(
            signatures: list[bytes], bodies: list[bytes], targets: list[tuple[bytes, dict[bytes, bytes], bool]]
        ) -> None:
            requests, signed = [], []
            for signature, body, (path, headers, chunked) in product(signatures, bodies, targets):
                value = signature_of(body) if signature == SIGNED else signature
                requests.append(request(path, body, {b"Onestock-Signature": value, **headers}, chunked=chunked))
                signed.append(signature == SIGNED)
            answers = list(zip(signed, http.exchange(requests), strict=True))

            assert {status for is_signed, status in answers if not is_signed} <= REFUSALS
            assert {status for _, status in answers} <= REFUSALS | {202}
            seen.update(answers)

        send()

    accepted = seen[True, 202]
    assert seen.total() >= EXAMPLES * REQUESTS_OF_AN_EXAMPLE
    assert EXAMPLES < accepted == sum(line["status"] == 202 for line in onestock.receiver.canonical("webhook"))
    assert not onestock.receiver.has_logged_an_exception


def test_no_body_is_accepted_whose_framing_does_not_fit(onestock: OneStock) -> None:
    seen: set[int] = set()

    @hypothesis_settings(fuzzed, max_examples=EXAMPLES // 5)
    @given(body=st.binary(min_size=1, max_size=200))
    def send(body: bytes) -> None:
        for misfit in MISFITS.values():
            framing, payload = misfit(body)
            head = request_line(ENDPOINT, {b"Onestock-Signature": signature_of(body)})
            answers = statuses(onestock.receiver.port, head + framing + b"\r\n\r\n" + payload)
            assert answers
            seen.update(answers)

    send()

    assert seen <= {400, 401, 501}
    assert {line["status"] for line in onestock.receiver.canonical("webhook")} <= {400, 401}
    assert not onestock.receiver.has_logged_an_exception


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer().published() as issuer:
        yield issuer


@pytest.fixture
def guarded(settings: dict[str, str], issuer: TokenIssuer, request: pytest.FixtureRequest) -> Service:
    """Return a worker that lets in Pub/Sub's tokens only."""
    settings |= {"PUSH_AUTH": "oidc", "PUSH_AUDIENCE": AUDIENCE, "PUSH_SERVICE_ACCOUNT": EMAIL}
    settings |= {"PUSH_CERTIFICATES_URL": issuer.url}
    worker: Service = request.getfixturevalue("worker")
    return worker


def forged(issuer: TokenIssuer) -> list[str]:
    """Return a token for each way to forge one."""
    now = int(time.time())
    return [
        issuer.unsigned(),
        issuer.signed_with_the_certificate(),
        TokenIssuer().token(),
        issuer.token(iss="https://issuer.example.com"),
        issuer.token(aud="https://other.example.com"),
        issuer.token(email="other@test-relay.iam.gserviceaccount.com"),
        issuer.token(email_verified=False),
        issuer.token(exp=now - 60),
        issuer.token(iat=now + 86_400),
        issuer.token(nbf=now + 86_400),
        issuer.token_behind_cloud_run(),
        *[issuer.token(key_id=f"unknown-{number}") for number in range(1_000)],
    ]


BASE64 = st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode())
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["event_id", "event_type", "received_at", "generation", "content_encoding", "traceparent", "rerun"]
    ),
    st.text(max_size=20) | st.sampled_from(["gzip", "order_state_changed", "1", "completed", "2026-01-01T00:00:00Z"]),
    max_size=4,
)
MESSAGES = st.fixed_dictionaries(
    {"messageId": st.text(max_size=10) | JSON},
    optional={"data": BASE64 | JSON, "attributes": ATTRIBUTES | JSON, "publishTime": st.text(max_size=10) | JSON},
)
ENVELOPES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"message": MESSAGES}, optional={"subscription": st.just("s") | JSON, "deliveryAttempt": JSON}
    ).map(lambda value: json.dumps(value).encode()),
)
PUSH_HEADERS = st.dictionaries(
    st.sampled_from([b"x-goog-pubsub-message-id", b"event_id", b"event_type", b"generation", b"Content-Type"]),
    VALUES | st.just(b"1"),
    max_size=3,
)


@pytest.mark.timeout(600)
def test_no_push_of_any_shape_is_let_in_without_a_token_or_breaks_the_worker(
    guarded: Service, issuer: TokenIssuer
) -> None:
    started = time.monotonic()
    seen: Counter[tuple[bool, int]] = Counter()
    authorizations = st.one_of(
        st.just(GENUINE), st.sampled_from(forged(issuer)).map(lambda forgery: f"Bearer {forgery}"), st.text(max_size=40)
    )
    genuine = f"Bearer {issuer.token()}"

    with connections(guarded.port) as http:

        @fuzzed
        @given(tokens=exactly(10, authorizations), envelopes=exactly(5, ENVELOPES), further=exactly(2, PUSH_HEADERS))
        def push(tokens: list[str], envelopes: list[bytes], further: list[dict[bytes, bytes]]) -> None:
            requests, is_genuine = [], []
            for authorization, envelope, headers in product(tokens, envelopes, further):
                value = (genuine if authorization == GENUINE else authorization).encode("latin-1", "replace")
                value = value.translate(None, b"\r\n\0")
                requests.append(request(b"/pubsub/push", envelope, {b"Authorization": value, **headers}))
                is_genuine.append(authorization == GENUINE)
            answers = list(zip(is_genuine, http.exchange(requests), strict=True))

            assert {status for let_in, status in answers if not let_in} <= {400, 401, 403}
            assert {status for let_in, status in answers if let_in} <= {204, 400, 503}
            seen.update(answers)

        push()

    minutes = (time.monotonic() - started) / 60
    assert seen.total() >= EXAMPLES * REQUESTS_OF_AN_EXAMPLE
    assert seen[True, 204] > EXAMPLES // 10
    assert issuer.fetches <= 1 + minutes
    assert not guarded.has_logged_an_exception


def test_a_genuine_push_is_let_in(guarded: Service, issuer: TokenIssuer) -> None:
    data = base64.b64encode(order_event("A-1")).decode()
    envelope = json.dumps({"message": {"messageId": "1", "data": data}, "subscription": "s"}).encode()

    with connections(guarded.port) as http:
        header = {b"Authorization": f"Bearer {issuer.token()}".encode()}
        statuses = http.exchange([request(b"/pubsub/push", envelope, header)])

    assert statuses == [204]
    assert issuer.fetches == 1
