"""The console hides the dead letters that it has removed, and no other, though the log does not know of it yet."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from relay.console.jobs import Job, JobOptions, JobState
from relay.console.letters import ListedLetter, of_dead_letter
from relay.console.plans import Plan, Verb
from relay.console.redrives import Redrives
from relay.pubsub.dead_letters import DeadLetter
from tests.console.test_jobs import ACTION, RULES, told_by_the_log
from tests.support.dead_letters import NOW, letter
from tests.support.shelf import Shelf
from tests.support.waiting import wait_until


def counted(one: DeadLetter) -> ListedLetter:
    return of_dead_letter(one, None)


def removed(redrives: Redrives, shelf: Shelf, letters: Sequence[ListedLetter], verb: Verb = Verb.DISCARD) -> None:
    """Carry out a plan of `letters` to its end."""
    plan = Plan.of(verb, letters, now=NOW)
    options = JobOptions(rules=RULES, per_second=0, canary=False)
    ended: list[Job] = []

    def end(job: Job) -> None:
        redrives.note_gone(job)
        ended.append(job)

    redrives.start(plan, lambda: Job(plan, options, ACTION, shelf, on_end=end))
    wait_until(lambda: bool(ended), within=20, every=0.001)
    assert ended[0].state is JobState.ENDED


def test_what_was_removed_is_hidden_in_the_list_of_the_log_and_in_the_count() -> None:
    one, other = letter(message_id="m1", event_id="e1"), letter(message_id="m2", event_id="e2")
    redrives = Redrives()

    removed(redrives, Shelf([one, other]), [told_by_the_log(one)], Verb.REDRIVE)

    assert [redrives.is_gone(told_by_the_log(each)) for each in (one, other)] == [True, False]
    assert [redrives.is_gone(counted(each)) for each in (one, other)] == [True, False]


def test_the_second_dead_letter_of_an_event_is_shown_after_the_first_is_removed() -> None:
    first, second = (letter(message_id=name, event_id="e") for name in ("m1", "m2"))
    redrives = Redrives()
    redrives.counted = (counted(first), counted(second))

    removed(redrives, Shelf([first, second]), [counted(first)])

    assert [redrives.is_gone(each) for each in redrives.counted] == [True, False]
    assert not redrives.is_gone(told_by_the_log(second))


def test_an_event_that_becomes_a_dead_letter_again_after_its_discard_is_shown() -> None:
    one = letter(message_id="m1", event_id="e")
    redrives = Redrives()

    removed(redrives, Shelf([one]), [told_by_the_log(one)])
    again = letter(message_id="m2", event_id="e")
    later = datetime.now(UTC) + timedelta(seconds=1)

    assert not redrives.is_gone(counted(again))
    assert not redrives.is_gone(replace(told_by_the_log(again), dead_at=later))


def test_a_redriven_event_that_fails_again_is_shown() -> None:
    one = letter(message_id="m1", event_id="e")
    redrives = Redrives()

    removed(redrives, Shelf([one]), [counted(one)], Verb.REDRIVE)
    again = letter(message_id="m2", event_id="e", generation="1735689600")

    assert [redrives.is_gone(each) for each in (counted(again), told_by_the_log(again))] == [False, False]


def test_it_is_known_who_removed_a_dead_letter_and_by_which_job() -> None:
    one = told_by_the_log(letter(message_id="m1", event_id="e1"))
    redrives = Redrives()

    removed(redrives, Shelf([letter(message_id="m1", event_id="e1")]), [one])

    gone = redrives.gone(one)
    assert gone
    assert (gone.by, gone.words, gone.plan_id) == ("nobody", "discarded", redrives.jobs()[0].plan.id)


def test_messages_and_events_of_the_subscription_are_counted_apart() -> None:
    redrives = Redrives()
    redrives.counted = tuple(counted(letter(message_id=name, event_id="e")) for name in ("m1", "m2"))

    assert redrives.counted_words == "2 messages of 1 event"
