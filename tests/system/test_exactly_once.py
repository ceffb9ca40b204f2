"""Thousands of events: each handled once by each handler, none lost, in order for each order."""

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.parts import OneStock, Service, order_event
from tests.support.sizes import ORDERS_EXACTLY_ONCE
from tests.support.waiting import wait_until

EVENTS_OF_AN_ORDER = 10
SENDERS = 8

HANDLERS = "tests.support.following"


@pytest.mark.timeout(400)
def test_each_of_thousands_of_events_is_handled_once_and_in_order(onestock: OneStock, worker: Service) -> None:
    def send_order(number: int) -> list[str]:
        bodies = [order_event(f"ORD-{number}", step) for step in range(EVENTS_OF_AN_ORDER)]
        return [onestock.send(body).json()["event_id"] for body in bodies]

    with ThreadPoolExecutor(SENDERS) as pool:
        sent = list(pool.map(send_order, range(ORDERS_EXACTLY_ONCE)))
    total = ORDERS_EXACTLY_ONCE * EVENTS_OF_AN_ORDER
    wait_until(lambda: worker.count("delivery") >= total, within=300, every=0.5)

    runs: Counter[tuple[str, str]] = Counter()
    order_of: dict[str, list[str]] = defaultdict(list)
    for entry in worker.lines():
        labels = entry["logging.googleapis.com/labels"]
        if labels["python_logger"].startswith(HANDLERS):
            runs[labels["python_logger"], labels["event_id"]] += 1
        if labels["python_logger"] == f"{HANDLERS}.orders":
            order_of[labels["order_id"]].append(labels["event_id"])
    event_ids = [event_id for order in sent for event_id in order]
    expected = {
        (name, event_id) for name in (f"{HANDLERS}.orders", f"{HANDLERS}.every_event") for event_id in event_ids
    }
    assert set(runs) == expected
    assert set(runs.values()) == {1}
    assert [order_of[f"ORD-{number}"] for number in range(ORDERS_EXACTLY_ONCE)] == sent
