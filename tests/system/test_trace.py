"""`relay trace` answers "where is event X" from what the services really print, and from Cloud Logging."""

from datetime import UTC, datetime

from google.auth.credentials import AnonymousCredentials
from google.cloud.logging import Client

from relay.cli.trace import from_cloud_logging
from relay.investigation.history import Verdict, histories
from tests.support.cloud_logging import CloudLogging
from tests.support.parts import OneStock, Service, Tool, order_event
from tests.support.waiting import wait_until


def test_the_services_own_lines_tell_an_events_whole_way(onestock: OneStock, worker: Service, tool: Tool) -> None:
    event_id = onestock.send(order_event("T-1")).json()["event_id"]
    onestock.send(b"unreadable")
    wait_until(lambda: len(worker.canonical("delivery")) == 2, within=20)
    log = onestock.receiver.child.output.read_text() + worker.child.output.read_text()

    text = tool.run("trace", event_id[:12], stdin=log).stdout
    of_order = tool.json("trace", "--order", "T-1", stdin=log)

    assert [line.split()[2] for line in text.splitlines()[1:-2]] == ["received", "log", "log", "delivered"]
    assert "handlers.orders.follow_order handled" in text
    assert "now: handled" in text
    assert [(history["event_id"], history["verdict"]) for history in of_order] == [(event_id, "handled")]


def test_an_event_that_no_line_is_about_is_told_in_one_line(tool: Tool) -> None:
    ended = tool.run("trace", "ab" * 32, stdin="{}\n")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)


def test_what_cannot_be_an_event_id_is_wrong_use(tool: Tool) -> None:
    assert tool.run("trace", 'x" OR true', stdin="").returncode == 2
    assert tool.run("trace", stdin="").returncode == 2


def test_cloud_logging_is_asked_for_one_event_and_its_answer_read() -> None:
    event_id = "ab" * 32
    entry = {
        "logName": "projects/test-relay/logs/run.googleapis.com%2Fstdout",
        "resource": {"type": "cloud_run_revision"},
        "timestamp": "2026-01-01T00:00:01.123456Z",
        "severity": "INFO",
        "labels": {"event_id": event_id, "order_id": "T-1"},
        "jsonPayload": {"line": "webhook", "outcome": "published", "message_id": "m1", "status": 202},
    }
    since = datetime(2026, 1, 1, tzinfo=UTC)

    with CloudLogging([entry]).running() as logging:
        options = {"api_endpoint": logging.url}
        client = Client(
            project="test-relay", credentials=AnonymousCredentials(), _use_grpc=False, client_options=options
        )
        found = list(from_cloud_logging(client, event_id=event_id, order_id=None, since=since))

    assert [history.verdict for history in histories(found, event_id=event_id)] == [Verdict.WAITING]
    assert logging.requests[0]["path"] == "/v2/entries:list?prettyPrint=false"
    assert logging.requests[0]["resourceNames"] == ["projects/test-relay"]
    assert logging.requests[0]["filter"] == f'labels.event_id=~"^{event_id}" AND timestamp>="2026-01-01T00:00:00+00:00"'
