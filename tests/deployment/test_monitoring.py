"""deploy/monitoring holds what Google's own types accept, and its parts fit together."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.cloud.monitoring_v3.types import AlertPolicy
from google.protobuf.json_format import ParseDict

from deploy.installation import Installation
from relay.receiver.acceptance import Ending as WebhookOutcome
from relay.worker.outcome import Outcome as DeliveryOutcome

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
METRICS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((MONITORING / "metrics").glob("*.yaml"))}
ALERTS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((MONITORING / "alerts").glob("*.yaml"))}
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
USER_METRIC = "logging.googleapis.com/user/"

# Kind, value type and resource of Google's own metrics ("Google Cloud metrics", Cloud Monitoring documentation).
GOOGLE_METRICS = {
    "run.googleapis.com/request_count": ("DELTA", "INT64", "cloud_run_revision"),
    "run.googleapis.com/request_latencies": ("DELTA", "DISTRIBUTION", "cloud_run_revision"),
    "run.googleapis.com/container/instance_count": ("GAUGE", "INT64", "cloud_run_revision"),
    "run.googleapis.com/container/cpu/utilizations": ("DELTA", "DISTRIBUTION", "cloud_run_revision"),
    "pubsub.googleapis.com/subscription/push_request_count": ("DELTA", "INT64", "pubsub_subscription"),
    "pubsub.googleapis.com/subscription/dead_letter_message_count": ("DELTA", "INT64", "pubsub_subscription"),
    "pubsub.googleapis.com/subscription/num_undelivered_messages": ("GAUGE", "INT64", "pubsub_subscription"),
    "pubsub.googleapis.com/subscription/oldest_unacked_message_age": ("GAUGE", "INT64", "pubsub_subscription"),
}
RESOURCE_LABELS = {"cloud_run_revision": {"service_name"}, "pubsub_subscription": {"subscription_id"}}
# Which aligners fit a kind of metric ("Aligner", Cloud Monitoring API).
ALIGNERS = {"DELTA": {"ALIGN_DELTA"}, "GAUGE": {"ALIGN_MAX"}}
REFUSED_PUSHES = {"bad_envelope", "unauthenticated"}


def described(metric_type: str) -> tuple[str, str, str]:
    """Return the kind, the value type and the resource of a metric, ours or Google's."""
    if not metric_type.startswith(USER_METRIC):
        return GOOGLE_METRICS[metric_type]
    descriptor = METRICS[metric_type.removeprefix(USER_METRIC)]["metricDescriptor"]
    return descriptor["metricKind"], descriptor["valueType"], "cloud_run_revision"


def comparisons(monitoring_filter: str) -> dict[str, set[str]]:
    """Return what a filter of Cloud Monitoring asks of each field: one value, or one of several."""
    found = {}
    for part in re.split(r"\s+AND\s+", monitoring_filter):
        match = re.fullmatch(r'([\w.]+) = (?:"([^"]+)"|one_of\(("[^"]+"(?:, "[^"]+")+)\))', part)
        assert match is not None, part
        found[match[1]] = {match[2]} if match[2] else set(re.findall(r'"([^"]+)"', match[3]))
    return found


def series_of(value: Any) -> list[dict[str, Any]]:
    """Return every object anywhere in `value` that selects time series: a filter and how it is aggregated."""
    if isinstance(value, list):
        return [series for item in value for series in series_of(item)]
    if not isinstance(value, dict):
        return []
    if "filter" in value and ("aggregation" in value or "aggregations" in value):
        aggregations = value.get("aggregations") or [value["aggregation"]]
        return [{"filter": value["filter"], "aggregation": aggregation} for aggregation in aggregations]
    return series_of(list(value.values()))


SERIES = series_of(DASHBOARD) + series_of(list(ALERTS.values()))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_valid_for_the_api(name: str) -> None:
    ParseDict(METRICS[name], LogMetric.pb(LogMetric()))

    descriptor = METRICS[name]["metricDescriptor"]
    declared = {label["key"] for label in descriptor.get("labels", [])}
    assert declared == set(METRICS[name].get("labelExtractors", {}))
    assert (descriptor["valueType"] == "DISTRIBUTION") == ("valueExtractor" in METRICS[name])


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_policy_is_valid_for_the_api(name: str) -> None:
    policy = AlertPolicy(ParseDict(ALERTS[name], AlertPolicy.pb(AlertPolicy())))

    matched_logs = [condition for condition in policy.conditions if "condition_matched_log" in condition]
    assert len(policy.conditions) == 1
    # A policy on log entries needs a rate limit, another must have none ("AlertStrategy").
    assert bool(matched_logs) == ("notification_rate_limit" in policy.alert_strategy)
    assert policy.severity != AlertPolicy.Severity.SEVERITY_UNSPECIFIED


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do_and_when_it_fires(name: str) -> None:
    content = ALERTS[name]["documentation"]["content"]

    assert "**When it fires:**" in content
    assert re.search(r"`(relay |jsonPayload|Container)", content)


@pytest.mark.parametrize("name", sorted(set(ALERTS) - {"no-events"}))
def test_an_alert_waits_no_longer_than_its_figures_need(name: str) -> None:
    for condition in ALERTS[name]["conditions"]:
        threshold = condition.get("conditionThreshold", {"duration": "0s"})

        assert threshold["duration"] == "0s"
        assert all(int(part["alignmentPeriod"][:-1]) <= 300 for part in threshold.get("aggregations", []))


def test_the_dashboard_is_valid_for_the_api_and_no_tile_lies_on_another() -> None:
    dashboard = Dashboard(ParseDict(DASHBOARD, Dashboard.pb(Dashboard())))

    tiles = dashboard.mosaic_layout.tiles
    places = [
        (column, line)
        for tile in tiles
        for column in range(tile.x_pos, tile.x_pos + tile.width)
        for line in range(tile.y_pos, tile.y_pos + tile.height)
    ]
    assert len(places) == len(set(places))
    assert max(column for column, _ in places) < dashboard.mosaic_layout.columns


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series["filter"][-60:])
def test_every_series_names_a_metric_that_exists_and_labels_that_it_has(series: dict[str, Any]) -> None:
    asked = comparisons(series["filter"])
    metric_type = min(asked.pop("metric.type"))
    kind, value_type, resource = described(metric_type)
    labels = METRICS.get(metric_type.removeprefix(USER_METRIC), {}).get("labelExtractors", {})

    assert asked.pop("resource.type") == {resource}
    assert set(asked) <= {f"resource.labels.{name}" for name in RESOURCE_LABELS[resource]} | {
        f"metric.labels.{name}" for name in labels
    }
    grouped = series["aggregation"].get("groupByFields", [])
    assert set(grouped) <= {f"metric.label.{name}" for name in labels}
    assert series["aggregation"]["perSeriesAligner"] in ALIGNERS[kind]
    is_percentile = series["aggregation"]["crossSeriesReducer"].startswith("REDUCE_PERCENTILE")
    assert is_percentile == (value_type == "DISTRIBUTION")


@pytest.mark.parametrize(
    ("metric", "outcomes"),
    [
        ("onestock_webhooks", set(WebhookOutcome) | {"unexpected"}),
        ("onestock_deliveries", set(DeliveryOutcome) | REFUSED_PUSHES | {"unexpected"}),
    ],
)
def test_the_dashboards_figures_add_up_each_outcome_in_exactly_one(metric: str, outcomes: set[str]) -> None:
    cards = [tile["widget"] for tile in DASHBOARD["mosaicLayout"]["tiles"] if "scorecard" in tile["widget"]]
    asked = [comparisons(series["filter"]) for series in series_of(cards)]

    parts = [part.get("metric.labels.outcome") for part in asked if part["metric.type"] == {USER_METRIC + metric}]

    assert parts.count(None) == 1
    assert sorted(outcome for part in parts if part for outcome in part) == sorted(outcomes)


def test_the_alert_files_name_what_the_installation_names_by_default() -> None:
    names = {"onestock-receiver", "onestock-worker", "onestock-events-push", "onestock-dead-letters-pull"}
    text = "".join(path.read_text() for path in MONITORING.rglob("*.*") if path.suffix != ".md")

    assert all(f'"{name}"' in text.replace('\\"', '"') for name in names)
    assert {each.default for each in Installation.variables().values()} >= names
