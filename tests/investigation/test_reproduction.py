"""Texts that reproduce an event: a shell makes the body again byte for byte, and the test holds the same fields."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.investigation.payload import Completeness, Payload
from relay.investigation.reproduction import FILE, MAX_INLINE_BYTES, Reproduction, reproductions
from relay.local.services import ROOT

URL = "http://127.0.0.1:9/webhooks/onestock/order_state_changed"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def texts_of(body: bytes, *, event_type: str = "order_state_changed", **more: Any) -> list[Reproduction]:
    payload = Payload(completeness=Completeness.WHOLE, body=body, body_bytes=len(body))
    named = {"handlers": ["handlers.orders.follow_order"], "receiver_url": "http://127.0.0.1:9", **more}
    return reproductions(payload, event_type=event_type, webhook_url=URL, **named)


def content_in(test: str) -> Any:
    """Return the fields in the test's source, which must be Python."""
    (value,) = (node.value for node in ast.parse(test).body if isinstance(node, ast.Assign))
    return ast.literal_eval(value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"order_id": "it\'s $HOME `id` \\\\ %s"}',
        b"@not-a-file",
        b"-n -e",
        '{"name": "Zoë",\r\n\t"a": 1}\n\n'.encode(),
        b"\xff\x00\xfe",
        b"",
        b"'" * (MAX_INLINE_BYTES // 4),
    ],
)
def test_a_shell_makes_the_body_again_byte_for_byte(tmp_path: Path, body: bytes) -> None:
    for one in texts_of(body)[:3]:
        making, _, command = one.text.rpartition(f"> {FILE}\n")
        subprocess.run(["bash", "-c", f"{making}> {FILE}"], cwd=tmp_path, check=True, timeout=20)

        assert (tmp_path / FILE).read_bytes() == body
        assert FILE in command


def test_each_way_to_send_is_there_signed_and_unsigned() -> None:
    send, signed, unsigned, test = (one.text for one in texts_of(b'{"order_id": "1"}'))

    assert "relay send order_state_changed --as-it-is --url http://127.0.0.1:9 --body event.json" in send
    assert '-H "$(relay signature sign event.json)"' in signed
    assert signed.endswith(f"--data-binary @{FILE} {URL}\n")
    assert unsigned.endswith(f"--data-binary @{FILE} {URL}\n")
    assert "signature" not in unsigned
    for text in (
        "from handlers.orders import follow_order",
        "from relay import OrderStateChanged",
        "follow_order(event)",
    ):
        assert text in test


@given(content=st.dictionaries(st.text(), JSON))
def test_the_test_is_python_that_holds_the_fields(content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    taken = {"self", "model", "captured", "event_type", "delivery_attempt"}

    *_, test = texts_of(body)

    if len(body) <= MAX_INLINE_BYTES:
        assert content_in(test.text) == {name: value for name, value in content.items() if name not in taken}


def test_the_test_passes_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def follow(event):\n    assert event.new_state == 'it\\'s'\n")
    (tmp_path / "conftest.py").write_text("from relay.testing import make_event\n")
    body = json.dumps({"order_id": "ORD-1", "new_state": "it's", "old-state!": [None, True]}).encode()
    (tmp_path / "test_it.py").write_text(texts_of(body, handlers=["shop.follow"])[-1].text)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_it.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["no module", "a.b-c", "class.def", "", "x.<locals>.y"])
def test_a_handler_that_cannot_be_imported_is_left_out(name: str) -> None:
    test = texts_of(b"{}", event_type="an event/type", handlers=[name])[-1].text

    compile(test, "test", "exec")
    assert "def test_an_event_type(" in test
    assert "from relay import Event\n" in test


def test_a_long_body_is_a_file_beside_the_command() -> None:
    texts = texts_of(json.dumps({"a": "x" * MAX_INLINE_BYTES}).encode())

    assert all(len(one.text) < 2_000 for one in texts)
    assert all(FILE in one.text for one in texts)


@pytest.mark.parametrize("completeness", [Completeness.CUT, Completeness.ABSENT])
def test_what_the_log_does_not_hold_cannot_be_reproduced(completeness: Completeness) -> None:
    payload = Payload(completeness=completeness, body=b"{}")

    assert reproductions(payload, event_type="x", handlers=[], receiver_url="", webhook_url="") == []
