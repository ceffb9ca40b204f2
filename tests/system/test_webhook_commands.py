"""`relay webhooks` against the simulated OneStock: what it shows, makes, switches, and leaves alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.local.simulator import ApiOptions, Simulator, Status
from tests.support.parts import Tool

OURS = "https://receiver.example/webhooks/onestock"
KEYS = "test-new-key,test-old-key"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start(options=ApiOptions(shows_hash_keys=True)) as running:
        running.site.create_webhook("order_state_changed", f"{OURS}/order_state_changed", keys=[b"test-old-key"])
        running.site.create_webhook("stock", "https://others.example/stock", keys=[b"test-key-of-others"])
        yield running


@pytest.fixture
def tool(simulator: Simulator) -> Tool:
    return Tool({**simulator.environ, "ONESTOCK_WEBHOOK_URL": OURS, "ONESTOCK_HASH_KEYS": KEYS})


def test_the_list_shows_each_webhook_and_no_key(tool: Tool, simulator: Simulator) -> None:
    simulator.site.webhooks["WH-1"].set_status(Status.DISABLED)

    shown = tool.run("webhooks", "list").stdout
    one = tool.run("webhooks", "show", "WH-1").stdout

    assert f"WH-1  disabled  order_state_changed  {OURS}/order_state_changed" in shown
    assert "https://others.example/stock" in shown
    assert "disabled" in one
    assert "test-" not in shown + one + str(tool.json("webhooks", "list"))


def test_one_webhook_is_made_for_each_event_type(tool: Tool, simulator: Simulator) -> None:
    ended = tool.run("webhooks", "create", "parcel_state_changed", "line_item_group_state_changed")

    assert ended.returncode == 0, ended.stderr
    made = [webhook for webhook in simulator.site.webhooks.values() if webhook.id in ("WH-3", "WH-4")]
    assert [webhook.url for webhook in made] == [f"{OURS}/{webhook.event_types[0]}" for webhook in made]
    assert {webhook.keys for webhook in made} == {(b"test-new-key",)}


def test_what_exists_is_not_made_again(tool: Tool, simulator: Simulator) -> None:
    ended = tool.run("webhooks", "create", "order_state_changed")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "already" in ended.stderr
    assert len(simulator.site.webhooks) == 2


def test_a_webhook_is_enabled_and_paused(tool: Tool, simulator: Simulator) -> None:
    webhook = simulator.site.webhooks["WH-1"]
    webhook.set_status(Status.DISABLED)

    enabled = tool.run("webhooks", "enable", "WH-1")
    status_between = webhook.status
    paused = tool.run("webhooks", "pause", "WH-1")

    assert (enabled.returncode, paused.returncode) == (0, 0)
    assert (status_between, webhook.status) == (Status.ENABLED, Status.PAUSED)
    assert "reconcile --since" in enabled.stderr


WATCHED = {
    "id": "WH-1",
    "status": "enabled",
    "event_types": ["order_state_changed"],
    "url": f"{OURS}/order_state_changed",
    "http_method": "POST",
    "is_fine": True,
    "told": "Webhook WH-1 (order_state_changed) is enabled",
}


def test_a_webhook_that_does_not_exist_is_one_line(tool: Tool) -> None:
    ended = tool.run("webhooks", "pause", "WH-9")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "PATCH /webhooks/WH-9/status: 404 not_found: no webhook WH-9 (Request-Id" in ended.stderr


DECLARED = """\
webhooks:
  - order_state_changed
  - {event_type: parcel_state_changed, status: paused}
"""


@pytest.fixture
def declared(tmp_path: Path) -> Path:
    file = tmp_path / "webhooks.yaml"
    file.write_text(DECLARED)
    return file


def test_sync_shows_the_difference_asks_and_then_does_it(tool: Tool, simulator: Simulator, declared: Path) -> None:
    webhook = simulator.site.webhooks["WH-1"]
    webhook.set_status(Status.DISABLED)

    dry = tool.run("webhooks", "sync", str(declared), "--dry-run")
    refused = tool.run("webhooks", "sync", str(declared), stdin="n\n")
    untouched = (webhook.status, len(simulator.site.webhooks))
    done = tool.run("webhooks", "sync", str(declared), "--yes")

    assert (dry.returncode, refused.returncode, done.returncode) == (1, 1, 0)
    assert "change    order_state_changed: WH-1 from disabled to enabled" in dry.stdout
    assert f"create    parcel_state_changed (paused) -> {OURS}/parcel_state_changed" in dry.stdout
    assert untouched == (Status.DISABLED, 2)
    assert (webhook.status, simulator.site.webhooks["WH-3"].status) == (Status.ENABLED, Status.PAUSED)
    assert "OneStock matches" in tool.run("webhooks", "sync", str(declared), "--dry-run").stdout


def test_each_command_answers_scripts_with_one_document_and_people_on_standard_error(
    tool: Tool, declared: Path, tmp_path: Path
) -> None:
    ours = f"{OURS}/order_state_changed"
    rotate = ("rotate-key", "--yes", "--no-probe", "--overlap=0", f"--journal={tmp_path / 'journal'}")

    assert tool.json("webhooks", "watch") == [WATCHED]
    assert tool.json("webhooks", "pause", "WH-1") == [{"id": "WH-1", "status": "paused"}]
    assert tool.json("webhooks", "enable", "WH-1") == [{"id": "WH-1", "status": "enabled"}]
    synced = tool.json("webhooks", "sync", str(declared), "--yes")
    created = tool.json("webhooks", "create", "stock_changed", "--status=paused")
    assert tool.json("webhooks", "enable", "WH-3", "WH-4") == [{"id": f"WH-{n}", "status": "enabled"} for n in (3, 4)]
    rotated = tool.json("webhooks", *rotate)

    [difference] = synced["differences"]
    assert (synced["done"], difference["event_type"], difference["found_status"]) == (
        1,
        "parcel_state_changed",
        "missing",
    )
    assert created == [
        {"id": "WH-4", "event_type": "stock_changed", "url": f"{OURS}/stock_changed", "status": "paused"}
    ]
    assert rotated["rotated"][0] == {"old": "WH-1", "new": "WH-5", "url": ours}
    assert [one["old"] for one in rotated["rotated"]] == ["WH-1", "WH-3", "WH-4"]
    assert rotated["reconcile_since"].endswith("Z")


def test_sync_tells_of_what_is_not_declared_and_leaves_it(tool: Tool, simulator: Simulator, declared: Path) -> None:
    declared.write_text("webhooks: [order_state_changed]")
    simulator.site.create_webhook("invented", f"{OURS}/invented", keys=[b"test-old-key"])
    simulator.site.create_webhook("theirs", f"{OURS}-of-others/theirs", keys=[b"test-key-of-others"])

    ended = tool.run("webhooks", "sync", str(declared), "--yes")

    assert ended.returncode == 0
    assert "left      invented: WH-3 (enabled) is not declared" in ended.stdout
    assert "others" not in ended.stdout
    assert [webhook.status for webhook in simulator.site.webhooks.values()] == [Status.ENABLED] * 4


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("webhooks: [a/b]", "webhooks.0.event_type: is no event type"),
        ("webhooks: [a, a]", "declared twice: a"),
        ("webhooks: [{event_type: a, status: off}]", "webhooks.0.status"),
        ("hooks: []", "webhooks"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_declaration_is_one_line(tool: Tool, declared: Path, text: str, named: str) -> None:
    declared.write_text(text)

    ended = tool.run("webhooks", "sync", str(declared))

    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert named in ended.stderr


def test_watching_by_hand_tells_and_has_an_exit_status(tool: Tool, simulator: Simulator) -> None:
    fine = tool.run("webhooks", "watch")
    simulator.site.webhooks["WH-1"].set_status(Status.DISABLED)

    bad = tool.run("webhooks", "watch")

    assert (fine.returncode, bad.returncode) == (0, 1)
    assert "Enable it: relay webhooks enable WH-1" in bad.stdout


def test_watching_by_hand_tells_of_each_webhook_once(tool: Tool, simulator: Simulator) -> None:
    simulator.site.webhooks["WH-1"].set_status(Status.DISABLED)
    one = tool.run("webhooks", "watch")
    simulator.site.webhooks.clear()

    none = tool.run("webhooks", "watch")

    assert (one.stdout + one.stderr).count("WH-1 (order_state_changed) is disabled") == 1
    assert (none.returncode, (none.stdout + none.stderr).count("No webhook at OneStock leads to")) == (1, 1)
