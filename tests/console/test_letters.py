"""What the log tells of dead letters: one for each handler that rejected an event, one where it was given up."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from relay.console.letters import ListedLetter, failures_in, grouped, of_dead_letter, of_record, since_then
from relay.investigation.entries import Entry
from relay.investigation.history import Whereabouts
from relay.investigation.index import EventIndex
from relay.topology import MAX_DELIVERY_ATTEMPTS
from tests.support.dead_letters import letter
from tests.support.entries import START, delivery, id_of, webhook

BEGAN = START + timedelta(seconds=90)
REDRIVEN = int(BEGAN.timestamp())


def run(name: str, outcome: str, reason: str = "") -> dict[str, Any]:
    return {"name": name, "outcome": outcome, "latency_ms": 1.0, "reason": reason}


def delivered(number: int, outcome: str, *runs: dict[str, Any], seconds: float = 1, **fields: Any) -> Entry:
    made = delivery(number, seconds=seconds, outcome=outcome)
    return replace(made, fields={**made.fields, "handlers": list(runs), **fields})


def told(*entries: Entry) -> list[ListedLetter]:
    index = EventIndex()
    index.add([webhook(1), *entries])
    record = index.get(id_of(1))
    assert record
    return list(of_record(record))


def test_each_handler_that_rejected_an_event_has_a_dead_letter_and_the_others_are_done() -> None:
    found = told(
        delivered(1, "quarantined", run("refund", "quarantined", "no"), run("archive", "quarantined", "never"),
                  run("ship", "handled"))
    )  # fmt: skip

    assert [(one.rejected_by, one.reason, one.will_run, one.done) for one in found] == [
        ("refund", "no", ("refund",), ("ship",)),
        ("archive", "never", ("archive",), ("ship",)),
    ]


def test_an_event_that_pubsub_gave_up_has_one_dead_letter_for_all_that_did_not_succeed() -> None:
    runs = run("refund", "retry", "the shop is closed"), run("ship", "handled")

    (found,) = told(delivered(1, "retry", *runs, delivery_attempt=MAX_DELIVERY_ATTEMPTS))

    assert (found.rejected_by, found.handlers, found.will_run, found.done) == ("", "refund", ("refund",), ("ship",))


def test_what_is_retried_or_handled_is_no_dead_letter() -> None:
    assert told(delivered(1, "retry", run("refund", "retry"))) == []
    assert told(delivered(1, "handled", run("refund", "handled"))) == []


def test_a_handler_that_rejected_stays_a_dead_letter_while_another_one_is_redriven() -> None:
    rejected = delivered(1, "quarantined", run("refund", "quarantined", "no"), run("archive", "quarantined", "never"))
    redriven = delivered(1, "handled", run("refund", "handled"), seconds=2, generation=5, redrives=1)

    (found,) = told(rejected, redriven)

    assert (found.rejected_by, found.reason, found.redrives) == ("archive", "never", 0)


def test_redrives_are_those_of_the_message_that_became_the_dead_letter() -> None:
    lines = [
        delivered(1, "quarantined", run("refund", "quarantined", "no"), seconds=n, generation=n, redrives=redrives)
        for n, redrives in ((1, 0), (5, 1), (6, 1))
    ]

    (found,) = told(*lines)

    assert (found.deliveries, found.redrives) == (3, 1)


def test_a_repeated_delivery_of_what_was_rejected_keeps_the_reason() -> None:
    rejected = delivered(1, "quarantined", run("refund", "quarantined", "no such order"))
    repeated = delivered(1, "duplicate", run("refund", "duplicate", "already rejected"), seconds=2)

    assert [one.reason for one in told(rejected, repeated)] == ["no such order"]


def test_an_event_whose_change_was_rejected_as_another_event_has_no_dead_letter() -> None:
    assert told(delivered(1, "duplicate", run("refund", "duplicate", f"already rejected as event {id_of(2)}"))) == []


def test_what_nobody_could_read_is_redriven_to_all_handlers() -> None:
    (found,) = told(delivered(1, "quarantined", run("(content)", "quarantined", "is not JSON")))

    assert (found.rejected_by, found.will_run, found.reason) == ("", (), "is not JSON")


def test_groups_have_the_same_handlers_and_the_same_reason_and_the_largest_comes_first() -> None:
    one, two = told(
        delivered(1, "quarantined", run("refund", "quarantined", "no"), run("archive", "quarantined", "no"))
    )

    found = grouped([one, two, replace(two, event_id=id_of(2))])

    assert [(group.handlers, group.count) for group in found] == [("archive", 2), ("refund", 1)]


def test_what_became_of_a_redriven_event_is_told_once_the_log_has_it() -> None:
    rejected = delivered(1, "quarantined", run("refund", "quarantined", "no"))
    again = delivered(1, "quarantined", run("refund", "quarantined", "still not"), seconds=95, generation=REDRIVEN)
    (before,) = told(rejected)
    index = EventIndex()
    index.add([webhook(1), rejected])
    untold = since_then(before, index.get(id_of(1)), began=BEGAN)
    index.add([again])

    record = since_then(before, index.get(id_of(1)), began=BEGAN)

    assert (untold, record and failures_in(record, before)) == (None, "refund: still not")


def test_an_earlier_redrive_of_another_handler_is_not_told_as_the_end_of_this_one() -> None:
    index = EventIndex()
    both = run("refund", "quarantined", "no"), run("archive", "quarantined", "never")
    earlier = delivered(1, "handled", run("refund", "handled"), seconds=2, generation=int(START.timestamp()))
    index.add([webhook(1), delivered(1, "quarantined", *both), earlier])
    counted = of_dead_letter(letter(event_id=id_of(1), dead_letter_handler="archive"), index.get(id_of(1)))
    untold = since_then(counted, index.get(id_of(1)), began=BEGAN)

    index.add([delivered(1, "handled", run("archive", "handled"), seconds=95, generation=REDRIVEN)])
    record = since_then(counted, index.get(id_of(1)), began=BEGAN)

    assert (untold, record and failures_in(record, counted)) == (None, "")


def test_reasons_that_differ_in_an_id_alone_are_one_group() -> None:
    one, other = (
        told(delivered(1, "quarantined", run("refund", "quarantined", f"no order {number}")))[0]
        for number in (4711, 4712)
    )

    (group,) = grouped([one, replace(other, event_id=id_of(2))])

    assert (group.reason, group.count) == ("no order #", 2)


def test_a_dead_letter_is_as_old_as_its_rejection_though_the_event_is_delivered_once_more() -> None:
    rejected = delivered(1, "quarantined", run("refund", "quarantined", "no"))
    repeated = delivered(1, "duplicate", run("refund", "duplicate", "already rejected"), seconds=95)

    (found,) = told(rejected, repeated)

    assert found.dead_at == rejected.time


def test_an_event_that_pubsub_gave_up_is_a_dead_letter_since_then() -> None:
    last = delivered(1, "retry", run("refund", "retry", "closed"), delivery_attempt=MAX_DELIVERY_ATTEMPTS)
    given_up = replace(last, time=START + timedelta(seconds=5), fields={"line": "given_up", "message": "given up"})
    later = replace(last, time=START + timedelta(seconds=95), fields={"message": "a line of the handler"})

    (told_by_attempts,), (told_by_pubsub,) = told(last, later), told(last, given_up, later)

    assert (told_by_attempts.dead_at, told_by_pubsub.dead_at) == (last.time, given_up.time)


def test_what_pubsub_gave_up_has_the_reason_of_the_handler_that_failed() -> None:
    index = EventIndex()
    index.add([webhook(1), delivered(1, "failed", run("refund", "failed", "KeyError: sku"), run("ship", "handled"))])

    known, unknown = (of_dead_letter(letter(event_id=id_of(number)), index.get(id_of(number))) for number in (1, 2))

    assert (known.reason, known.common_reason, known.handlers) == ("KeyError: sku", "KeyError: sku", "refund")
    assert "Pub/Sub gave up" in unknown.reason


def test_what_a_handler_rejected_keeps_the_reason_of_its_own_message() -> None:
    index = EventIndex()
    index.add([webhook(1), delivered(1, "failed", run("refund", "failed", "KeyError: sku"))])
    rejected = letter(event_id=id_of(1), dead_letter_handler="refund", dead_letter_reason="no such order")

    assert of_dead_letter(rejected, index.get(id_of(1))).reason == "no such order"


def test_a_redriven_letter_is_handled_though_another_handler_of_its_event_is_still_rejected() -> None:
    both = delivered(1, "quarantined", run("refund", "quarantined", "no"), run("archive", "quarantined", "never"))
    again = delivered(1, "handled", run("refund", "handled"), seconds=95, generation=REDRIVEN)
    refund, archive = told(both)
    index = EventIndex()
    index.add([webhook(1), both, again])

    places = [since_then(one, index.get(id_of(1)), began=BEGAN) for one in (refund, archive)]

    assert [place and place.whereabouts for place in places] == [Whereabouts.HANDLED, Whereabouts.DEAD_LETTER]
