"""What is not proven to be OneStock's is a 401, whatever is wrong with it; what is no push is a 400."""

import requests
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.parts import OneStock, Service

A_SIGNATURE_LIKE_HEADER = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=200),
    st.lists(
        st.sampled_from(["t=1735689600", "t=", "t=-1", "t=1e9", "h0=" + "a" * 64, "h1=", "h9=x", "=", "t", "h0=\xe9"]),
        max_size=6,
    ).map(",".join),
)


@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(header=A_SIGNATURE_LIKE_HEADER)
def test_every_malformed_signature_header_is_a_401(onestock: OneStock, header: str) -> None:
    response = onestock.send_with_header(b"{}", header.encode("latin-1"))

    assert response.status_code == 401
    assert response.json() == {"error": "signature missing or wrong"}
    assert not onestock.receiver.has_logged_an_exception


def test_a_missing_signature_is_a_401(onestock: OneStock) -> None:
    response = onestock.send_with_header(b"{}", None)

    assert response.status_code == 401


def test_a_request_that_is_no_push_is_a_400(worker: Service) -> None:
    url = f"http://127.0.0.1:{worker.port}/pubsub/push"
    bodies = [b"", b"{}", b"[]", b"\xff", b'{"message": {}, "subscription": "s"}', b'{"message": {"data": "!"}}']

    statuses = {requests.post(url, data=body, timeout=5).status_code for body in bodies}

    assert statuses == {400}
    assert not worker.has_logged_an_exception


def test_an_unwrapped_push_is_read_from_its_headers(worker: Service) -> None:
    headers = {"x-goog-pubsub-message-id": "1", "event_id": "e1", "event_type": "order_state_changed"}
    body = b'{"order_id": "A-1", "new_state": "placed"}'

    response = requests.post(f"http://127.0.0.1:{worker.port}/pubsub/push", data=body, headers=headers, timeout=5)

    assert response.status_code == 204
    assert worker.handled() == {"e1"}
