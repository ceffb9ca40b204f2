"""What OneStock itself sends runs, whatever became of the synthetic event that `relay reconcile` made up for it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from relay.local.emulator import Emulator
from relay.message import Message
from relay.onestock.changes import Change
from tests.support.parts import PubSub, Service
from tests.support.pushes import outcome_of, sent_by_onestock
from tests.support.shop.ledger import Ledger

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Told:
    """One change of an order that no other test knows, as each of its events tells of it."""

    change: Change

    def synthetic(self) -> Message:
        return self.change.to_message(now=datetime.now(UTC), traceparent=TRACEPARENT)

    def sent(self, **more: object) -> Message:
        """Return what OneStock sends; it has a field that the synthetic event lacks."""
        known = {"order_id": self.change.order_id, "date": self.change.date, "new_state": self.change.new_state}
        return sent_by_onestock(json.dumps({**known, "sales_channel": "web", **more}).encode())

    def readable(self) -> Message:
        """Return a synthetic event that lacks nothing."""
        return self.sent(made_up=True).as_synthetic()


@pytest.fixture
def told(pubsub: PubSub) -> Told:
    return Told(Change(order_id=pubsub.topology.topic, new_state="fulfilled", date=1_767_225_600, old_state="picking"))


@pytest.fixture(params=["memory", "firestore"])
def settings(
    settings: dict[str, str], ledger: Ledger, request: pytest.FixtureRequest, firestore_emulator: Emulator
) -> dict[str, str]:
    store = {"IDEMPOTENCY_STORE": request.param, "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}
    return {**settings, **store, "HANDLERS_PACKAGE": "tests.support.demanding", "SHOP_LEDGER": str(ledger.file)}


def test_onestocks_own_event_runs_after_a_rejected_synthetic_one(worker: Service, ledger: Ledger, told: Told) -> None:
    rejected = outcome_of(worker, told.synthetic())
    arrived = outcome_of(worker, told.sent())
    redriven = outcome_of(worker, told.synthetic(), generation="1767225700", redrives="1")

    assert (rejected, arrived, redriven) == ("quarantined", "handled", "duplicate")
    assert ledger.done() == {("archive", told.synthetic().event_id), ("channel", told.sent().event_id)}
    assert ledger.count("done") == 2


def test_onestocks_own_event_runs_although_it_failed_first_after_a_rejected_synthetic_one(
    worker: Service, ledger: Ledger, told: Told
) -> None:
    rejected = outcome_of(worker, told.synthetic())
    failed = outcome_of(worker, told.sent(retry=True))
    ledger.repaired.touch()
    arrived = outcome_of(worker, told.sent(retry=True))

    assert (rejected, failed, arrived) == ("quarantined", "retry", "handled")
    assert ("channel", told.sent(retry=True).event_id) in ledger.done()


def test_a_handled_synthetic_event_makes_onestocks_own_a_duplicate(worker: Service, ledger: Ledger, told: Told) -> None:
    outcomes = [outcome_of(worker, event) for event in (told.readable(), told.sent(), told.readable())]

    assert outcomes == ["handled", "duplicate", "duplicate"]
    assert ledger.count("done") == 2
