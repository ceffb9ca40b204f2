"""`relay ledger` answers "was anything lost?": it names what is missing, publishes it, and is clean the second time."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.local.services import start_service
from relay.local.simulator import Schedule, Simulator, Status
from tests.support.choosy import REFUSED
from tests.support.cloud_logging import CloudLogging
from tests.support.parts import HASH_KEY, Service, Tool
from tests.support.sizes import ORDERS_OF_THE_LEDGER
from tests.support.waiting import wait_until

ORDERS = [f"ORD-{number}" for number in range(ORDERS_OF_THE_LEDGER)]
CHANGES = 5 * len(ORDERS)
REJECTED, WAITED, LOST = ORDERS[:20], ORDERS[:70], ORDERS[70:100]
SCHEDULE = Schedule(retry_intervals_seconds=(0.2, 0.2), keeps_queue_when_disabled=True)

Named = set[tuple[str, str]]


@pytest.fixture
def shop() -> Iterator[Simulator]:
    with Simulator.start(schedule=SCHEDULE) as running:
        for order_id in ORDERS:
            running.site.place_order(order_id, items={"SKU-1": 1})
        yield running


@pytest.fixture
def settings(settings: dict[str, str], shop: Simulator, cloud_logging: CloudLogging) -> dict[str, str]:
    choosy = {"HANDLERS_PACKAGE": "tests.support.choosy", "LOG_CONTENT": "redacted"}
    return {**settings, **shop.environ, **cloud_logging.environ, **choosy}


class Day:
    """Five changes of each order, and an outage of the receiver in the middle."""

    def __init__(self, shop: Simulator, receiver: Service) -> None:
        self.shop = shop
        self.receiver = receiver
        url = f"http://127.0.0.1:{receiver.port}/webhooks/onestock/order_state_changed"
        self.webhook = shop.site.create_webhook("order_state_changed", url, keys=[HASH_KEY])

    def before_the_outage(self) -> None:
        for state in ("accepted", "picking"):
            self.move(ORDERS, state)
        self.move(REJECTED, REFUSED)
        self.move(ORDERS[len(REJECTED) :], "packed")
        wait_until(lambda: self.webhook.is_idle, within=120)

    def in_the_outage(self) -> None:
        """Let OneStock keep what waits when it disables the webhook, and lose what comes afterwards."""
        self.receiver.child.stop()
        self.move(WAITED, "dispatched")
        wait_until(lambda: self.webhook.status is Status.DISABLED)
        self.move(LOST, "dispatched")

    def after_the_outage(self) -> None:
        self.webhook.set_status(Status.ENABLED)
        self.move(ORDERS[100:], "dispatched")
        self.move(ORDERS, "fulfilled")
        wait_until(lambda: self.webhook.is_idle, within=120)

    def move(self, order_ids: Sequence[str], state: str) -> None:
        for order_id in order_ids:
            self.shop.site.move_order(order_id, state)


@pytest.mark.timeout(400)  # Half a minute, unless other processes keep the machine busy.
def test_of_all_changes_it_names_the_30_lost_and_the_20_dead_and_publishes_the_lost(
    shop: Simulator, receiver: Service, worker: Service, tool: Tool, cloud_logging: CloudLogging, tmp_path: Path
) -> None:
    day = Day(shop, receiver)
    day.before_the_outage()
    day.in_the_outage()
    with start_service("receiver", port=receiver.port, settings=tool.environ, output=tmp_path / "again.log") as again:
        day.after_the_outage()
        wait_until(lambda: len(worker.handled()) == CHANGES - 50, within=120)
        files = [receiver.child.output, again.output, worker.child.output]

        first = drawn_up(tool, files, cloud_logging, "--publish-missing", "--yes")
        wait_until(lambda: len(worker.handled()) == CHANGES - 20, within=60)
        second = drawn_up(tool, files, cloud_logging)
        of_files = drawn_up(tool, files, None)

    assert first["changes"] == counts(arrived=CHANGES - 30, handled=CHANGES - 50, missing=30)
    assert named(first["missing"]) == {(order_id, "dispatched") for order_id in LOST}
    assert named(first["dead_letter"]) == {(order_id, REFUSED) for order_id in REJECTED}
    assert (first["status"], first["published"]) == (1, 30)
    assert second["changes"] == of_files["changes"] == counts(arrived=CHANGES - 30, handled=CHANGES - 20, missing=0)
    assert (second["status"], of_files["status"], second["published"]) == (0, 0, 0)


def drawn_up(tool: Tool, files: Sequence[Path], cloud_logging: CloudLogging | None, *options: str) -> dict[str, Any]:
    """Return what the ledger prints, from Cloud Logging if it is given, else from the files; and its exit status."""
    if cloud_logging is None:
        options = (*options, *(f"--lines={file}" for file in files))
    else:
        cloud_logging.entries.clear()
        for file in files:
            cloud_logging.take(file.read_text(), service=file.stem, project="test-relay")
    until = datetime.now(UTC) + timedelta(minutes=1)
    ended = tool.run("ledger", "--since", "1h", "--until", until.isoformat(), "--rate=0", "--json", *options)
    assert ended.stdout, ended.stderr
    return {**json.loads(ended.stdout), "status": ended.returncode}


def counts(*, arrived: int, handled: int, missing: int) -> dict[str, int]:
    rest = {"dead_letter": 20, "under_way": 0, "unhandled": 0}
    return {"known": CHANGES, "arrived": arrived, "handled": handled, "missing": missing, **rest}


def named(items: list[dict[str, Any]]) -> Named:
    return {(item["order_id"], item["new_state"]) for item in items}


def test_a_rejected_change_is_a_dead_letter_also_after_a_reconcile(
    shop: Simulator, receiver: Service, worker: Service, tool: Tool
) -> None:
    for order_id in ORDERS[1:]:
        del shop.site.orders[order_id]
    day = Day(shop, receiver)
    parcels = f"http://127.0.0.1:{receiver.port}/webhooks/onestock/parcel_state_changed"
    shop.site.create_webhook("parcel_state_changed", parcels, keys=[HASH_KEY])
    shop.site.emit("parcel_state_changed", {"parcel_id": "P-1"})
    day.move(ORDERS[:1], REFUSED)
    wait_until(lambda: len(worker.canonical("delivery")) == 2)

    tool.json("reconcile", "--since=1h", "--yes")
    wait_until(lambda: len(worker.canonical("delivery")) == 3)

    found = drawn_up(tool, [receiver.child.output, worker.child.output], None)
    assert (found["changes"]["dead_letter"], found["changes"]["known"]) == (1, 1)
    assert (found["other_events"]["unhandled"], found["other_events"]["known"]) == (1, 1)
    assert found["status"] == 0


LINE = """{"time": "2026-01-31T12:00:01Z", "line": "webhook", "outcome": "OUTCOME", "content": {"order_id": "L-1", \
"date": 1769860800, "new_state": "packed"}, "logging.googleapis.com/labels": {"event_id": "EVENT", \
"event_type": "order_state_changed", "order_id": "L-1"}}
"""
DAY = ("--since", "2026-01-31", "--until", "2026-02-01")


def line(outcome: str, event_id: str = "ab" * 32) -> str:
    return LINE.replace("OUTCOME", outcome).replace("EVENT", event_id)


def test_without_onestocks_api_the_receivers_lines_are_the_changes() -> None:
    tool = Tool({})

    stored = tool.run("ledger", *DAY, "--lines=-", stdin=line("published") + line("published").replace("webhook", "x"))
    lost = tool.run("ledger", *DAY, "--lines=-", stdin=line("not_published"))

    assert (stored.returncode, lost.returncode) == (1, 1)
    assert "missing     order L-1 to packed at 2026-01-31T12:00:00Z: dropped by Pub/Sub" in stored.stdout
    assert "missing     order L-1 to packed at 2026-01-31T12:00:00Z: not stored" in lost.stdout
    assert "the receiver's lines against standard input (1 log line)" in lost.stdout


def test_nothing_to_tell_from_is_not_taken_for_nothing_lost(tool: Tool, shop: Simulator) -> None:
    no_line = tool.run("ledger", "--since", "2h", "--no-onestock", "--lines=-")
    shop.site.orders.clear()
    no_order = tool.run("ledger", "--since", "2h", "--lines=-", stdin=line("published"))

    assert (no_line.returncode, no_order.returncode) == (2, 1)
    assert "standard input holds no line of the relay: nothing can be said" in no_line.stderr
    assert "OneStock knows no order placed since" in no_order.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--since", "10m"), "without --until the ledger ends an hour ago"),
        (("--since", "31d"), "say with --log-kept how long"),
        (("--since", "45d", "--log-kept", "60d", "--publish-missing"), "--forgotten-too"),
    ],
)
def test_a_time_that_cannot_be_told_of_is_refused(tool: Tool, options: Sequence[str], named: str) -> None:
    ended = tool.run("ledger", *options)

    assert ended.returncode == 2
    assert named in " ".join(ended.stderr.split())


def test_nothing_is_published_without_a_yes(tool: Tool, shop: Simulator) -> None:
    shop.site.move_order(ORDERS[0], "picking")
    until = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()

    ended = tool.run("ledger", "--since=1h", f"--until={until}", "--rate=0", "--publish-missing", stdin="n\n")

    assert ended.returncode == 1
    assert [text for text in ended.stdout.splitlines() if "never arrived" in text] == [missing_text(shop)]
    assert "Publish the missing changes (1)?" in ended.stderr
    assert "published." not in ended.stderr


def test_states_without_webhooks_can_be_left_out(tool: Tool, shop: Simulator) -> None:
    shop.site.move_order(ORDERS[0], "picking")
    until = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()

    ended = tool.run(
        "ledger",
        "--since=1h",
        f"--until={until}",
        "--rate=0",
        "--except-state=picking",
        "--lines=-",
        stdin=line("published"),
    )

    assert ended.returncode == 0, ended.stdout


def test_a_line_that_is_a_little_older_than_its_change_is_found(
    tool: Tool, shop: Simulator, cloud_logging: CloudLogging
) -> None:
    shop.site.move_order(ORDERS[0], "picking")
    (moved,) = shop.site.history
    written_at = datetime.fromtimestamp(moved["date"] - 60, UTC)
    fields = {"time": written_at.isoformat(), "line": "webhook", "outcome": "published", "content": moved}
    labels = {"event_id": "ab" * 32, "event_type": "order_state_changed", "order_id": ORDERS[0]}
    cloud_logging.take(
        json.dumps({**fields, "logging.googleapis.com/labels": labels}), service="receiver", project="test-relay"
    )
    since, until = (datetime.fromtimestamp(moved["date"] + seconds, UTC).isoformat() for seconds in (0, 1))

    ended = tool.json("ledger", f"--since={since}", f"--until={until}", "--rate=0")

    assert (ended["changes"]["known"], ended["changes"]["under_way"]) == (1, 1)


def missing_text(shop: Simulator) -> str:
    (moved,) = shop.site.history
    date = datetime.fromtimestamp(moved["date"], UTC)
    return f"missing     order {ORDERS[0]} to picking at {date:%Y-%m-%dT%H:%M:%SZ}: never arrived"
