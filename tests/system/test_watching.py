"""Each log filter of deploy/monitoring and of docs/on-call.md finds the lines it is for, and no other."""

import re
from collections.abc import Iterator

import pytest

from relay.local.emulator import Emulator
from relay.local.services import ROOT
from relay.receiver.acceptance import Ending
from relay.worker.outcome import Outcome as DeliveryOutcome
from tests.deployment.test_monitoring import ALERTS, DASHBOARD, METRICS, REFUSED_PUSHES
from tests.support.log_entries import Entry
from tests.support.log_filter import compiled, values_at
from tests.support.parts import new_pubsub
from tests.support.ports import free_port
from tests.support.said import ORDER, Said, everything

WEBHOOKS = {f"webhook {ending}" for ending in Ending}
DELIVERIES = {f"delivery {outcome}" for outcome in {*DeliveryOutcome, *REFUSED_PUSHES, "unexpected"}}
QUIET = {
    "delivery handled",
    "delivery duplicate",
    "delivery stale",
    "delivery busy",
    "webhook published",
    "other INFO",
    "webhook_status enabled",
}

FOUND_BY_METRIC = {
    "onestock_webhooks": WEBHOOKS,
    "onestock_acknowledgement_latency": {"webhook published"},
    "onestock_deliveries": DELIVERIES,
    "onestock_time_to_handled": {"delivery handled"},
}
ON_CALL = (ROOT / "docs" / "on-call.md").read_text()
QUESTIONS = dict(re.findall(r"\*\*([^*]+)\*\*[^*]*?\n\n```logging\n(.*?)\n```", ON_CALL, re.DOTALL))
ACKED = {"handled", "duplicate", "stale", "unhandled", "quarantined"}
FOUND_BY_QUESTION = {
    "Not handled": DELIVERIES - {f"delivery {outcome}" for outcome in ACKED},
    "Went to the dead letters": {"delivery quarantined"},
    "No handler names this event type": {"delivery unhandled"},
    "Not acknowledged": WEBHOOKS - {"webhook published"},
    "OneStock does not send": {"webhook_status paused", "webhook_status disabled"},
    "Faults of ours": {"webhook unexpected", "delivery unexpected"},
}
FOUND_BY_ALERT = {
    "receiver-does-not-acknowledge": {
        "webhook not_published",
        "webhook overloaded",
        "webhook too_large",
        "webhook unexpected",
    },
    "wrong-hash-key": {"webhook refused"},
    "dead-letter-quarantined": {"delivery quarantined"},
    "webhook-does-not-send": {"webhook_status paused", "webhook_status disabled", "webhook_watch_failed"},
}


@pytest.fixture(scope="module")
def said(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    port = free_port()
    yield from everything(new_pubsub(emulator, port), port, tmp_path_factory.mktemp("said"))


def kind_of(entry: Entry) -> str:
    """Return `webhook OUTCOME`, `delivery OUTCOME` or the like; any other line is only `other` and its severity."""
    payload = entry.get("jsonPayload", {})
    if "line" in payload:
        return f"{payload['line']} {payload.get('outcome', payload.get('status', ''))}".strip()
    return f"other {entry.get('severity', 'DEFAULT')}"


def found_by(log_filter: str, said: Said) -> list[Entry]:
    return [entry for entry in said.entries if compiled(log_filter)(entry)]


def of_kinds(kinds: set[str], said: Said) -> list[Entry]:
    return [entry for entry in said.entries if kind_of(entry) in kinds]


def asked(question: str, said: Said) -> list[Entry]:
    """Return what a saved query finds, asked about the event that went all the way."""
    trace = next(entry["trace"] for entry in said.entries if values_at(entry, "labels.event_id") == [said.event_id])
    samples = {
        "projects/my-project/traces/4bf92f3577b34da6a3ce929d0e0e4736": trace,
        "172843227e45": said.event_id[:12],
        "ORD-1001": ORDER,
        "handlers.orders.follow_order": "tests.support.outcomes.by_event_type.fail",
        "latency_ms>300": "latency_ms>0",
    }
    query = QUESTIONS[question]
    for sample, real in samples.items():
        query = query.replace(sample, real)
    return found_by(query, said)


def alert_filters(name: str) -> list[str]:
    return [
        part["conditionMatchedLog"]["filter"] for part in ALERTS[name]["conditions"] if "conditionMatchedLog" in part
    ]


def test_every_end_of_a_webhook_and_of_a_delivery_was_brought_about(said: Said) -> None:
    assert {kind_of(entry) for entry in said.entries} >= WEBHOOKS | DELIVERIES


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_counts_its_lines_and_no_other(name: str, said: Said) -> None:
    found = found_by(METRICS[name]["filter"], said)

    assert found == of_kinds(FOUND_BY_METRIC[name], said)


def test_received_and_delivered_add_up_to_what_was_answered(said: Said) -> None:
    assert len(found_by(METRICS["onestock_webhooks"]["filter"], said)) == said.webhooks
    assert len(found_by(METRICS["onestock_deliveries"]["filter"], said)) == said.pushes


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_finds_in_each_line_what_it_extracts(name: str, said: Said) -> None:
    extractors = dict(METRICS[name].get("labelExtractors", {}))
    value_extractor = METRICS[name].get("valueExtractor")

    for entry in found_by(METRICS[name]["filter"], said):
        labels = {key: values_at(entry, extracted(extractor)) for key, extractor in extractors.items()}
        values = values_at(entry, extracted(value_extractor)) if value_extractor else [0.0]

        was_read = kind_of(entry).removeprefix("delivery ") not in REFUSED_PUSHES | {"unexpected"}
        assert all(len(found) == 1 for key, found in labels.items() if key == "outcome" or was_read)
        assert isinstance(values[0], float | int)


def extracted(extractor: str) -> str:
    match = re.fullmatch(r"EXTRACT\(([\w.]+)\)", extractor)
    assert match is not None
    return match[1]


@pytest.mark.parametrize("name", [name for name in ALERTS if alert_filters(name)])
def test_an_alert_on_log_lines_finds_its_lines_and_no_other(name: str, said: Said) -> None:
    found = [entry for log_filter in alert_filters(name) for entry in found_by(log_filter, said)]

    assert {kind_of(entry) for entry in found} == FOUND_BY_ALERT[name]
    if name != "wrong-hash-key":
        assert found == of_kinds(FOUND_BY_ALERT[name], said)


def test_a_scanner_without_a_signature_does_not_raise_the_alarm_for_a_wrong_key(said: Said) -> None:
    refused = of_kinds({"webhook refused"}, said)
    alarming = found_by(alert_filters("wrong-hash-key")[0], said)

    reasons = {entry["jsonPayload"]["reason"] for entry in refused if entry not in alarming}
    assert reasons == {"header missing"}
    assert len(alarming) == 2


def test_what_never_reached_the_receiver_raises_the_alarm_through_cloud_runs_request_log() -> None:
    # Cloud Run writes these itself ("Logging and viewing logs in Cloud Run").
    request_log: Entry = {
        "logName": "projects/test-relay/logs/run.googleapis.com%2Frequests",
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": "onestock-receiver"}},
        "severity": "ERROR",
    }
    matches = compiled(alert_filters("receiver-does-not-acknowledge")[0])

    alarming = {
        status
        for status in (200, 202, 400, 401, 404, 413, 429, 500, 503, 504)
        if matches({**request_log, "httpRequest": {"status": status}})
    }
    assert alarming == {413, 429, 500, 503, 504}


def test_the_dashboards_log_panel_shows_what_went_wrong_and_nothing_else(said: Said) -> None:
    panels = [
        tile["widget"]["logsPanel"] for tile in DASHBOARD["mosaicLayout"]["tiles"] if "logsPanel" in tile["widget"]
    ]

    found = found_by(panels[0]["filter"], said)

    assert {kind_of(entry) for entry in found} >= (WEBHOOKS | DELIVERIES) - QUIET
    assert not {kind_of(entry) for entry in found} & QUIET


def test_every_saved_query_is_tried_here() -> None:
    about_one = {"One event's whole way", "One event", "All events of one order", "All failures of one handler"}

    assert QUESTIONS.keys() == FOUND_BY_QUESTION.keys() | about_one | {"Acknowledged late"}
    assert ON_CALL.count("```logging") == len(QUESTIONS)


@pytest.mark.parametrize("question", FOUND_BY_QUESTION)
def test_a_saved_query_finds_its_lines_and_no_other(question: str, said: Said) -> None:
    assert asked(question, said) == of_kinds(FOUND_BY_QUESTION[question], said)


def test_one_event_is_followed_through_both_services_by_its_trace_and_by_its_id(said: Said) -> None:
    of_event = [entry for entry in said.entries if values_at(entry, "labels.event_id") == [said.event_id]]

    assert {kind_of(entry) for entry in of_event} >= {"webhook published", "delivery handled"}
    assert asked("One event's whole way", said) == of_event
    assert asked("One event", said) == of_event


def test_one_orders_events_are_found_by_its_id(said: Said) -> None:
    assert [kind_of(entry) for entry in asked("All events of one order", said)] == [
        "delivery handled",
        "webhook published",
    ]


def test_one_handlers_failures_are_found_and_not_the_successes_beside_it(said: Said) -> None:
    failures = asked("All failures of one handler", said)

    assert [entry["labels"]["event_type"] for entry in failures] == ["half_fine", "failing"]
    outcomes = [
        {run["name"].rpartition(".")[2]: run["outcome"] for run in e["jsonPayload"]["handlers"]} for e in failures
    ]
    assert outcomes == [{"succeed_too": "handled", "fail": "failed"}, {"fail": "failed"}]


def test_late_acknowledgements_are_found_by_their_latency(said: Said) -> None:
    assert asked("Acknowledged late", said) == of_kinds({"webhook published"}, said)
