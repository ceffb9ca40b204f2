"""An answer stays within its bound, says what was left out, and keeps what tells the most."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mcp.bound import MAX_BYTES, bounded

STEP = {"time": "2026-01-31T09:30:00+00:00", "name": "delivered", "text": "x" * 300}
NARROW = "Narrow it."

VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(["é" * 3_000, "\ud83d" * 500]),
    lambda children: st.lists(children, max_size=40) | st.dictionaries(st.sampled_from("abc"), children),
    max_leaves=60,
)


@settings(max_examples=40)
@given(st.lists(VALUES, max_size=40))
def test_every_answer_is_json_within_the_bound(items: list[Any]) -> None:
    text = bounded({"events": items}, narrow=NARROW, max_bytes=20_000)

    answer = json.loads(text)
    assert len(text.encode()) <= 20_000
    assert "note" in answer or len(answer["events"]) == len(items)


def test_a_small_answer_is_given_as_it_is() -> None:
    assert json.loads(bounded({"events": [STEP]}, narrow=NARROW)) == {"events": [STEP]}


def test_what_is_left_out_is_counted_with_how_to_narrow_it() -> None:
    answer = json.loads(bounded({"events": [{"number": n, **STEP} for n in range(10_000)]}, narrow=NARROW))

    kept = [event["number"] for event in answer["events"]]
    assert kept == list(range(len(kept)))
    assert answer["note"] == f"Left out, since an answer is bounded: {10_000 - len(kept):,} of the events. {NARROW}"


def test_older_events_that_were_not_asked_for_are_told() -> None:
    answer = json.loads(bounded({"events": [], "has_older": True}, narrow=NARROW))

    assert answer["note"] == f"Left out, since an answer is bounded: older events. {NARROW}"


def test_of_a_long_way_the_beginning_and_the_end_stay() -> None:
    steps = [{**STEP, "number": n} for n in range(1_000)]

    answer = json.loads(bounded({"events": [{"steps": steps}]}, narrow=NARROW))

    kept = [step["number"] for step in answer["events"][0]["steps"]]
    assert (kept[0], kept[-1]) == (0, 999)
    assert answer["note"].startswith(f"Left out, since an answer is bounded: {1_000 - len(kept):,} of the steps.")


def test_of_an_orders_events_the_newest_stay() -> None:
    events = [{"number": n, **STEP} for n in range(1_000)]

    answer = json.loads(bounded({"events": events}, narrow=NARROW, newest_last=True))

    assert answer["events"][-1]["number"] == 999


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    answer = json.loads(bounded({"events": [{"text": "x" * MAX_BYTES}]}, narrow=NARROW))

    assert answer["events"][0]["text"] == f"{'x' * 2_000} (58,000 more characters)"
