"""A redrive of what one handler rejected runs this handler alone, also where the store has forgotten the others."""

import pytest

from relay.local.emulator import Emulator
from tests.support.parts import PubSub, Service, order_event
from tests.support.pushes import outcome_of, sent_by_onestock
from tests.support.shop.ledger import Ledger

FORGOTTEN = sent_by_onestock(order_event("ORD-1"))


@pytest.fixture(params=["memory", "firestore"])
def settings(settings: dict[str, str], request: pytest.FixtureRequest, firestore_emulator: Emulator) -> dict[str, str]:
    return {**settings, "IDEMPOTENCY_STORE": request.param, "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}


def test_only_the_handler_that_rejected_the_event_runs_again(
    shop_settings: dict[str, str], worker: Service, ledger: Ledger
) -> None:
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"

    outcome = outcome_of(worker, FORGOTTEN, generation="1767225700", redrives="1", only_handler="refund")

    assert outcome == "handled"
    assert ledger.done() == {("refund", FORGOTTEN.event_id)}


def test_a_copy_in_the_dead_letters_names_the_handler_that_rejected_it(
    shop_settings: dict[str, str], worker: Service, pubsub: PubSub
) -> None:
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"

    outcome_of(worker, sent_by_onestock(order_event("ORD-2", reject=True)))

    handlers = {letter["attributes"]["dead_letter_handler"] for letter in pubsub.dead_letters()}
    assert handlers == {"refund", "archive"}


def test_a_handler_that_is_gone_is_named_in_a_warning(
    shop_settings: dict[str, str], worker: Service, ledger: Ledger
) -> None:
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"

    outcome = outcome_of(worker, FORGOTTEN, only_handler="renamed")

    [line] = worker.canonical("delivery")
    assert (outcome, line["severity"], ledger.count("begin")) == ("unhandled", "WARNING", 0)
    assert "renamed: no handler of this name handles this event type" in line["message"]
