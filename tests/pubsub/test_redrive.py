"""A redrive says truly what became of each dead letter, in whatever way it ends."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from relay.errors import PublishError
from relay.message import Message
from relay.pubsub.pull import Pulled
from relay.pubsub.redrive import Redrive, RedriveEnding, Redriven, RedriveRules
from relay.topology import COMPLETED_RUNS_ARE_REMEMBERED_SECONDS, LAST_RETURN_SECONDS, SUBSCRIPTION_RETENTION_SECONDS
from tests.support.dead_letters import NOW, letter
from tests.support.waiting import wait_until

RULES = RedriveRules(max_redrives=5)


@dataclass
class Topic:
    """Remembers what was published in which sequence; refuses what it is told to, and waits at a gate."""

    refused: str = ""
    published: list[str] = field(default_factory=list)
    waiting: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        with self.lock:
            self.waiting += 1
        assert self.gate.wait(budget_seconds)
        if message.event_id == self.refused:
            raise PublishError("invented: the topic is closed")
        self.published.append(message.event_id)
        return "id"


@dataclass
class Held:
    """Dead letters of which the hold on some has ended, and which Pub/Sub may deliver again."""

    ended: str = ""
    comes_back: str = ""
    acknowledged: list[str] = field(default_factory=list)

    def holds(self, message: Pulled) -> bool:
        return message.delivery.message_id != self.ended

    def acknowledge(self, messages: Sequence[Pulled]) -> dict[str, str]:
        ids = [message.delivery.message_id for message in messages]
        self.acknowledged += ids
        return {id_: "invented: it was slow" for id_ in ids if id_ == self.comes_back}


@pytest.fixture
def topic() -> Topic:
    opened = Topic()
    opened.gate.set()
    return opened


def redrive(topic: Topic, held: Held) -> Redrive:
    return Redrive(held, topic, rules=RULES, per_second=0, now=lambda: NOW)


def endings(ends: Iterator[Redriven]) -> dict[str, RedriveEnding]:
    return {end.letter.message_id: end.ending for end in ends}


@pytest.mark.parametrize(("beyond_seconds", "stays"), [(-60, False), (60, True)])
def test_an_event_beyond_the_memory_stays_unless_it_is_meant(beyond_seconds: int, *, stays: bool) -> None:
    received_at = NOW - timedelta(seconds=LAST_RETURN_SECONDS + beyond_seconds)
    old = letter(received_at=received_at.isoformat())

    stay = RULES.reason_to_stay(old, NOW)

    assert (stay is not None and stay[0] is RedriveEnding.FORGOTTEN) is stays
    assert RedriveRules(max_redrives=5, forgotten_too=True).reason_to_stay(old, NOW) is None


def test_a_redriven_event_reaches_the_worker_before_its_runs_are_forgotten() -> None:
    assert LAST_RETURN_SECONDS + SUBSCRIPTION_RETENTION_SECONDS <= COMPLETED_RUNS_ARE_REMEMBERED_SECONDS


@pytest.mark.parametrize(("redrives", "stays"), [("4", False), ("5", True), ("6", True)])
def test_what_came_back_too_often_stays(redrives: str, *, stays: bool) -> None:
    assert (RULES.reason_to_stay(letter(redrives=redrives), NOW) is not None) is stays


def test_a_dead_letter_goes_away_only_after_its_event_is_confirmed(topic: Topic) -> None:
    held = Held()
    topic.refused = "e1"
    letters = [letter(message_id=f"m{n}", event_id=f"e{n}", order_id=f"D-{n}") for n in range(3)]

    ends = endings(redrive(topic, held).run(letters))

    assert ends == {"m0": RedriveEnding.REDRIVEN, "m1": RedriveEnding.FAILED, "m2": RedriveEnding.REDRIVEN}
    assert sorted(held.acknowledged) == ["m0", "m2"]


@pytest.mark.parametrize("trouble", ["refused", "not held"])
def test_what_stays_holds_back_the_later_events_of_its_order(topic: Topic, trouble: str) -> None:
    held = Held(ended="m1" if trouble == "not held" else "")
    topic.refused = "e1" if trouble == "refused" else ""
    letters = [letter(message_id=f"m{n}", event_id=f"e{n}") for n in range(4)]

    ends = endings(redrive(topic, held).run(letters))

    assert topic.published == ["e0"]
    assert [ends[f"m{n}"] for n in (2, 3)] == [RedriveEnding.BEHIND_A_FAILED_ONE] * 2


def test_events_without_an_order_do_not_wait_for_each_other(topic: Topic) -> None:
    topic.refused = "e0"
    letters = [letter(message_id=f"m{n}", event_id=f"e{n}", order_id="") for n in range(3)]

    ends = endings(redrive(topic, Held()).run(letters))

    assert ends == {"m0": RedriveEnding.FAILED, "m1": RedriveEnding.REDRIVEN, "m2": RedriveEnding.REDRIVEN}


def test_a_published_event_whose_dead_letter_may_come_back_is_said_to_be_so(topic: Topic) -> None:
    (end,) = redrive(topic, Held(comes_back="m1")).run([letter()])

    assert (end.ending, end.is_published, end.is_gone) == (RedriveEnding.MAY_COME_BACK, True, False)
    assert end.reason == "invented: it was slow"


def test_a_stopped_redrive_ends_what_is_under_way_and_begins_nothing(topic: Topic) -> None:
    topic.gate.clear()
    letters = [letter(message_id=f"m{n}", event_id=f"e{n}", order_id=f"D-{n}") for n in range(100)]
    run = redrive(topic, Held())
    ends: dict[str, RedriveEnding] = {}
    running = threading.Thread(target=lambda: ends.update(endings(run.run(letters))))

    running.start()
    wait_until(lambda: topic.waiting == 16)
    run.stop()
    topic.gate.set()
    running.join(10)

    assert list(ends.values()).count(RedriveEnding.REDRIVEN) == len(topic.published) == 16
    assert list(ends.values()).count(RedriveEnding.STOPPED) == 84


def test_an_error_of_our_own_ends_the_redrive_instead_of_hanging_it(topic: Topic) -> None:
    class Broken(Held):
        def holds(self, message: Pulled) -> bool:
            raise LookupError(message.ack_id)

    with pytest.raises(LookupError):
        list(redrive(topic, Broken()).run([letter()]))


@pytest.mark.parametrize(("redrives", "words"), [(1, "redriven once already"), (2, "redriven 2 times already")])
def test_what_came_back_too_often_says_how_often_it_was_redriven(redrives: int, words: str) -> None:
    stay = RedriveRules(max_redrives=1).reason_for(redrives=redrives, handler="", event_age_seconds=0)

    assert words in (stay or ("", ""))[1]
