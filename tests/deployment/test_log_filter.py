"""The stand-in for Cloud Logging's query language decides as documented, and says what it does not know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.log_entries import Entry, entry_of
from tests.support.log_filter import FilterError, compiled

ENTRY: Entry = {
    "logName": "projects/p/logs/run.googleapis.com%2Fstdout",
    "severity": "WARNING",
    "timestamp": "2026-01-02T03:04:05Z",
    "labels": {"order_id": "ORD-1"},
    "jsonPayload": {"status": 503, "outcome": "failed", "handlers": [{"name": "a"}, {"name": "b"}], "message_id": None},
}
TRUE, FALSE = "jsonPayload.status=503", "jsonPayload.status=1"


@pytest.mark.parametrize(
    ("log_filter", "is_found"),
    [
        ('jsonPayload.outcome="FAILED"', True),
        ('jsonPayload.outcome="fail"', False),
        ('jsonPayload.outcome:"fail"', True),
        ('jsonPayload.outcome=~"^fa"', True),
        ('jsonPayload.outcome=~"^FA"', False),
        ('jsonPayload.outcome=("handled" OR "failed")', True),
        ("jsonPayload.status>=500 jsonPayload.status<504", True),
        ("jsonPayload.status!=503", False),
        ('jsonPayload.status="503"', False),
        ("severity>=WARNING", True),
        ("severity>WARNING", False),
        ('timestamp>="2026-01-02T00:00:00Z"', True),
        ('jsonPayload.handlers.name="b"', True),
        ('jsonPayload.handlers.name="c"', False),
        ('jsonPayload.absent!="x"', False),
        ('NOT jsonPayload.absent="x"', True),
        ('jsonPayload.message_id="x"', False),
        ('log_id("run.googleapis.com/stdout")', True),
        ('log_id("run.googleapis.com/requests")', False),
        (f"{TRUE} -- a remark\n{TRUE}", True),
    ],
)
def test_a_comparison_is_decided_as_documented(log_filter: str, *, is_found: bool) -> None:
    assert compiled(log_filter)(ENTRY) is is_found


@pytest.mark.parametrize(
    "log_filter",
    [
        "",
        "outcome=failed",
        "jsonPayload.status==503",
        'jsonPayload.outcome="x" or jsonPayload.status=1',
        'jsonPayload.outcome=("a" AND "b")',
        'severity="LOUD"',
        f"({TRUE}",
        "robot",
    ],
)
def test_what_is_wrong_or_not_known_is_an_error(log_filter: str) -> None:
    with pytest.raises(FilterError):
        compiled(log_filter)


@pytest.mark.parametrize(
    "log_filter", ['jsonPayload.handlers="a"', 'jsonPayload.outcome>"a"', 'jsonPayload.handlers.name!="a"']
)
def test_a_comparison_of_unclear_meaning_is_an_error(log_filter: str) -> None:
    with pytest.raises(FilterError, match="not known here"):
        compiled(log_filter)(ENTRY)


@given(values=st.lists(st.booleans(), min_size=4, max_size=4), nots=st.lists(st.booleans(), min_size=4, max_size=4))
def test_or_binds_closer_than_and_and_not_closest(values: list[bool], nots: list[bool]) -> None:
    terms = [("NOT " if no else "") + (TRUE if value else FALSE) for value, no in zip(values, nots, strict=True)]
    a, b, c, d = (value != no for value, no in zip(values, nots, strict=True))

    assert compiled("{} OR {} AND {} OR {}".format(*terms))(ENTRY) is ((a or b) and (c or d))
    assert compiled("{} AND {} OR {} AND {}".format(*terms))(ENTRY) is (a and (b or c) and d)
    assert compiled("({} AND {}) OR ({} {})".format(*terms))(ENTRY) is ((a and b) or (c and d))


@given(text=st.text())
def test_any_text_is_a_filter_or_an_error_of_ours(text: str) -> None:
    try:
        compiled(text)
    except FilterError:
        return


def test_special_fields_leave_the_payload_and_a_lone_message_becomes_the_text() -> None:
    alone = entry_of('{"message": "hello", "severity": "INFO"}', service="s", project="p")
    plain = entry_of("hello", service="s", project="p")
    rich = entry_of(
        '{"x": 1, "logging.googleapis.com/labels": {"a": "b"}, "time": "2026-01-01T00:00:00Z"}',
        service="s",
        project="p",
    )

    assert (alone["textPayload"], alone["severity"]) == ("hello", "INFO")
    assert plain["textPayload"] == "hello"
    assert (rich["jsonPayload"], rich["labels"], rich["timestamp"]) == ({"x": 1}, {"a": "b"}, "2026-01-01T00:00:00Z")
