"""The difference of two JSON values is complete, exact, and found however deeply the values are nested."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.investigation.difference import NOTHING, Difference, differences, shown

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)


def applied(before: Any, found: list[Difference]) -> Any:
    """Return `before` with each difference made."""
    whole = {"value": copy.deepcopy(before)}
    for one in found:
        place: Any = whole
        *way, last = ("value", *one.path)
        for part in way:
            place = place[part]
        if one.after is not NOTHING and isinstance(place, list) and last == len(place):
            place.append(one.after)
        elif one.after is not NOTHING:
            place[last] = one.after
        elif isinstance(place, dict):
            del place[last]
        else:
            # What an array has lost is at its end.
            del place[int(last) :]
    return whole["value"]


def text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@given(before=JSON, after=JSON)
def test_whoever_makes_all_differences_has_the_other_value(before: Any, after: Any) -> None:
    found = list(differences(before, after))

    deletions_last = sorted(found, key=lambda one: one.after is NOTHING)
    assert applied(before, deletions_last) == after


@given(value=JSON)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert list(differences(value, json.loads(json.dumps(value)))) == []


@given(before=JSON, after=JSON)
def test_each_place_is_named_once_and_holds_what_both_sides_have_there(before: Any, after: Any) -> None:
    found = list(differences(before, after))

    assert len({one.path for one in found}) == len(found)
    assert all(text_of(shown(one.before, limit=10_000)) != text_of(shown(one.after, limit=10_000)) or
               one.before == one.after for one in found)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": None}, {}, ["a"]),
        ({"a": []}, {"a": {}}, ["a"]),
        ({"a": [{"b": 1}, 2]}, {"a": [{"b": 2}]}, ["a[0].b", "a[1]"]),
        ([], {}, [""]),
        (1, 2, [""]),
    ],
)
def test_places_are_named_as_people_write_them(before: Any, after: Any, places: list[str]) -> None:
    assert [one.place for one in differences(before, after)] == places


def test_deep_nesting_is_compared_and_shown_without_an_error() -> None:
    def nested(inner: Any) -> Any:
        for _ in range(5_000):
            inner = [inner]
        return inner

    (one,) = differences(nested(1), nested(2))

    assert (one.before, one.after, len(one.path)) == (1, 2, 5_000)
    (whole,) = differences(nested(1), 2)
    assert len(shown(whole.before, limit=100)) <= 101
    assert shown("\ud800" + "x" * 100, limit=20) == '"\\ud800xxxxxxxxxxxxx…'
