"""A plan does what its page has shown, and nothing else; each dead letter of it has exactly one end."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.console.account import Account
from relay.console.actions import Action
from relay.console.jobs import Job, JobOptions, JobState
from relay.console.letters import ListedLetter, of_dead_letter
from relay.console.plans import LetterEnding, Plan, Verb
from relay.errors import PlanRefused, PubSubError
from relay.pubsub.dead_letters import DeadLetter
from relay.pubsub.redrive import RedriveEnding, RedriveRules
from tests.support.dead_letters import NOW, letter
from tests.support.shelf import Shelf
from tests.support.waiting import wait_until

ACTION = Action(name="redrive", ids=[], reason="invented", account=Account(name="nobody", source="test"))
RULES = RedriveRules(max_redrives=5, forgotten_too=True)


def letters(count: int) -> list[DeadLetter]:
    """Return dead letters of as many orders, the oldest first."""
    return [
        letter(
            message_id=f"m{n}",
            event_id=f"e{n}",
            order_id=f"D-{n}",
            received_at=(NOW - timedelta(minutes=500 - n)).isoformat(),
        )
        for n in range(count)
    ]


def told_by_the_log(one: DeadLetter) -> ListedLetter:
    return replace(of_dead_letter(one, None), message_id="")


def plan_of(found: Sequence[DeadLetter], verb: Verb = Verb.REDRIVE) -> Plan:
    return Plan.of(verb, [told_by_the_log(one) for one in found], now=NOW)


def job(plan: Plan, shelf: Shelf, *, canary: bool = False, rules: RedriveRules = RULES) -> Job:
    return Job(plan, JobOptions(rules=rules, per_second=0, canary=canary), ACTION, shelf)


def run_to_the_end(one: Job) -> dict[str, LetterEnding]:
    one.start()
    wait_until(lambda: one.state is JobState.ENDED, within=20, every=0.001)
    return {key: end.ending for key, end in one.ends.items()}


def test_every_ending_of_a_redrive_is_one_of_a_plan() -> None:
    assert {LetterEnding(ending) for ending in RedriveEnding} <= set(LetterEnding)


def test_nothing_that_is_not_on_the_list_is_touched() -> None:
    shelf = Shelf(letters(5))
    plan = plan_of(shelf.letters[:2])

    ends = run_to_the_end(job(plan, shelf))

    assert shelf.published == ["e0", "e1"]
    assert shelf.message_ids == {"m2", "m3", "m4"}
    assert set(ends.values()) == {LetterEnding.REDRIVEN}


def test_of_an_event_that_two_handlers_rejected_only_the_planned_one_is_redriven() -> None:
    both = [letter(message_id=name, event_id="e", dead_letter_handler=name) for name in ("refund", "archive")]
    shelf = Shelf(both)

    ends = run_to_the_end(job(plan_of(both[:1]), shelf))

    assert ends == {"e/refund": LetterEnding.REDRIVEN}
    assert shelf.message_ids == {"archive"}


def test_a_dead_letter_that_came_after_the_plan_is_not_in_it() -> None:
    plan = plan_of([letter(event_id="e")])
    shelf = Shelf([letter(event_id="e", message_id="later", generation="1735689600", redrives="1")])

    one = job(plan, shelf)
    ends = run_to_the_end(one)

    assert (ends, shelf.published) == ({"e/": LetterEnding.NOT_THERE}, [])
    assert "failed again after this plan was made" in one.ends["e/"].reason


def test_what_is_not_there_any_more_is_no_error_for_the_others() -> None:
    found = letters(3)
    shelf = Shelf(found[1:])

    ends = run_to_the_end(job(plan_of(found), shelf))

    assert ends == {"e0/": LetterEnding.NOT_THERE, "e1/": LetterEnding.REDRIVEN, "e2/": LetterEnding.REDRIVEN}


def test_an_event_that_pubsub_keeps_twice_as_a_dead_letter_ends_once() -> None:
    twice = [letter(message_id=name, event_id="e") for name in ("m1", "m2")]
    shelf = Shelf(twice, lost={"m2"})

    ends = run_to_the_end(job(plan_of(twice), shelf))

    assert ends == {"e/": LetterEnding.NOT_HELD}


def test_the_first_one_goes_alone_and_the_rest_waits_for_the_reader() -> None:
    shelf = Shelf(letters(4))
    one = job(plan_of(shelf.letters), shelf, canary=True)

    one.start()
    wait_until(lambda: one.state is JobState.WAITING, within=20)
    sent_first, seen_by_others = list(shelf.published), shelf.held_at_once == [1]
    one.go_on()
    wait_until(lambda: one.state is JobState.ENDED, within=20)

    assert (sent_first, one.canary, seen_by_others) == (["e0"], "e0/", True)
    assert sorted(shelf.published) == ["e0", "e1", "e2", "e3"]


def test_the_first_one_is_never_one_that_would_stay() -> None:
    shelf = Shelf([letter(message_id="m", event_id="often", redrives="5"), *letters(2)])
    one = job(plan_of(shelf.letters), shelf, canary=True)

    one.start()
    wait_until(lambda: one.state is JobState.WAITING, within=20)
    one.go_on()
    wait_until(lambda: one.state is JobState.ENDED, within=20)

    assert one.canary == "e0/"
    assert one.ends["often/"].ending is LetterEnding.TOO_OFTEN


def test_a_job_that_is_stopped_while_it_waits_names_what_was_not_done() -> None:
    shelf = Shelf(letters(3))
    ended: list[Job] = []
    one = Job(
        plan_of(shelf.letters), JobOptions(rules=RULES, per_second=0, canary=True), ACTION, shelf, on_end=ended.append
    )

    one.start()
    wait_until(lambda: one.state is JobState.WAITING, within=20)
    one.stop()
    one.go_on()

    assert [end.ending for end in one.ends.values()].count(LetterEnding.STOPPED) == 2
    assert (one.state, len(ended), shelf.published) == (JobState.ENDED, 1, ["e0"])


def test_a_redrive_that_is_stopped_half_way_names_what_was_done_and_what_not() -> None:
    gate = threading.Semaphore(5)
    shelf = Shelf(letters(40), on_publish=gate.acquire)
    one = job(plan_of(shelf.letters), shelf)

    one.start()
    wait_until(lambda: len(shelf.published) == 5, within=20)
    one.stop()
    gate.release(40)
    wait_until(lambda: one.state is JobState.ENDED, within=20)

    done = {key for key, end in one.ends.items() if end.ending is LetterEnding.REDRIVEN}
    assert done == {f"{event_id}/" for event_id in shelf.published}
    assert len(shelf.message_ids) == 40 - len(done) > 0


def test_a_job_that_breaks_off_says_why_and_ends_each_letter() -> None:
    shelf = Shelf(letters(2), failure=PubSubError("invented: no permission"))
    one = job(plan_of(shelf.letters), shelf)

    ends = run_to_the_end(one)

    assert one.problem == "invented: no permission"
    assert set(ends.values()) == {LetterEnding.STOPPED}


def test_a_part_of_a_redrive_leaves_no_connection_open() -> None:
    shelf = Shelf(letters(3))
    one = job(plan_of(shelf.letters), shelf, canary=True)

    one.start()
    wait_until(lambda: one.state is JobState.WAITING, within=20)
    after_the_first = shelf.connections
    one.go_on()
    wait_until(lambda: one.state is JobState.ENDED, within=20)

    assert (after_the_first, shelf.connections, len(shelf.published)) == (0, 0, 3)


def test_a_redrive_that_breaks_off_leaves_no_connection_open() -> None:
    def fail() -> None:
        raise OSError("invented")

    shelf = Shelf(letters(2), on_publish=fail)
    one = job(plan_of(shelf.letters), shelf)

    run_to_the_end(one)

    assert (one.problem, shelf.connections) == ("unexpected: OSError: invented", 0)


def test_two_jobs_redrive_the_same_letters_once() -> None:
    shelf = Shelf(letters(20))
    jobs = [job(plan_of(shelf.letters), shelf) for _ in range(2)]

    for one in jobs:
        one.start()
    wait_until(lambda: all(one.state is JobState.ENDED for one in jobs), within=20)

    assert sorted(shelf.published) == sorted(f"e{n}" for n in range(20))
    assert [len(one.ends) for one in jobs] == [20, 20]


def test_a_discard_removes_what_is_planned_for_good() -> None:
    shelf = Shelf(letters(3), lost={"m1"})

    ends = run_to_the_end(job(plan_of(shelf.letters[:2], Verb.DISCARD), shelf, canary=True))

    assert ends == {"e0/": LetterEnding.DISCARDED, "e1/": LetterEnding.MAY_COME_BACK}
    assert (shelf.message_ids, shelf.published) == ({"m1", "m2"}, [])


def test_a_plan_says_what_will_stay_by_the_rules_of_the_command() -> None:
    often, old = letter(event_id="often", redrives="5"), letter(event_id="old", received_at="2025-11-01T00:00:00Z")
    plan = plan_of([letter(event_id="good"), often, old])

    staying = plan.staying(RedriveRules(max_redrives=5))

    assert set(staying) == {"often/", "old/"}
    assert "was redriven 5 times already" in staying["often/"]


def test_a_plan_of_nothing_is_refused() -> None:
    with pytest.raises(PlanRefused, match="Nothing is chosen"):
        plan_of([])


@given(st.data())
def test_each_letter_of_a_plan_has_exactly_one_end_and_no_other_is_touched(data: st.DataObject) -> None:
    found = letters(8)
    some = st.sets(st.integers(0, 7)).map(lambda numbers: {found[number].message_id for number in numbers})
    planned, there, lost, refused = (data.draw(some, label=name) for name in ("planned", "there", "lost", "refused"))
    chosen = [one for one in found if one.message_id in planned | {"m0"}]
    shelf = Shelf([one for one in found if one.message_id in there])
    shelf.lost, shelf.refused = lost, {name.replace("m", "e") for name in refused}
    verb = data.draw(st.sampled_from(Verb))
    one = job(plan_of(chosen, verb), shelf)
    if data.draw(st.booleans(), label="stopped"):
        shelf.on_publish = one.stop

    ends = run_to_the_end(one)

    assert set(ends) == {told_by_the_log(each).key for each in chosen}
    gone = {each.message_id for each in chosen if ends[f"{each.delivery.event_id}/"].is_gone}
    assert shelf.message_ids == there - gone
    assert len(shelf.published) == len(set(shelf.published))
    assert {f"{event_id}/" for event_id in shelf.published} <= set(ends)
