"""An action of the console is logged before it begins, with who does it, and why; in production others see it."""

import getpass
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.console import actions
from relay.console.context import Console
from relay.errors import ActionRefused
from relay.investigation.cloud_logging import CloudLog
from relay.investigation.history import histories
from tests.console.conftest import console_on
from tests.support.cloud_logging import CloudLogging
from tests.support.entries import START, id_of

ACCOUNT = "on-call@example.com"
PROJECT = "test-relay"
WHY = {"reason": "the shop is repaired"}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudLogging]:
    """Run Cloud Logging, and a gcloud that answers at once: the real one takes seconds."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(f'#!/bin/sh\n[ "$*" = "config get account" ] && echo {ACCOUNT}\n')
    gcloud.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with CloudLogging().running() as running:
        for name, value in running.environ.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def production(cloud: CloudLogging) -> Console:
    assert cloud.url
    return console_on(is_local=False, environ={"GOOGLE_CLOUD_PROJECT": PROJECT})


def logged(caplog: pytest.LogCaptureFixture, line: str = "console_action") -> list[dict[str, Any]]:
    fields = [getattr(record, "json_fields", {}) for record in caplog.records]
    return [one for one in fields if one.get("line") == line]


def test_a_local_action_is_one_line_with_the_user_of_the_machine(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    actions.begin(console_on(), "pause", ids=["push"], form={})

    (line,) = logged(caplog)
    assert (line["action"], line["ids"], line["reason"]) == ("pause", ["push"], "")
    assert (line["account"], line["account_from"]) == (getpass.getuser(), "operating system")


def test_an_action_in_production_is_a_step_of_the_trace_of_each_of_its_events(production: Console) -> None:
    ids = [id_of(number) for number in (1, 2)]

    action = actions.begin(production, "redrive", ids=ids, event_ids=ids, form=WHY)

    log = CloudLog.connected(PROJECT)
    (history,) = histories(log.entries(f'labels.event_id="{id_of(2)}"', since=START), event_id=id_of(2))
    assert [step.name for step in history.steps] == ["log"]
    assert f"redrive in the console by {ACCOUNT}: the shop is repaired" in history.steps[0].text
    assert action.account.source == "gcloud config get account"
    assert action.seen_by_others == f"Cloud Logging of the project {PROJECT}, log relay-console"


def test_an_action_on_no_event_is_one_entry_with_its_ids(production: Console, cloud: CloudLogging) -> None:
    actions.begin(production, "pause", ids=["push"], form=WHY)

    (entry,) = cloud.entries
    assert entry["logName"] == f"projects/{PROJECT}/logs/relay-console"
    assert (entry["jsonPayload"]["ids"], entry["jsonPayload"]["reason"]) == (["push"], "the shop is repaired")


def test_an_action_that_others_cannot_see_begins_only_if_that_is_asked_for(
    production: Console, cloud: CloudLogging, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cloud.refuses_entries = True

    with pytest.raises(ActionRefused, match="others could not see it") as refused:
        actions.begin(production, "pause", ids=["push"], form=WHY)
    action = actions.begin(production, "pause", ids=["push"], form={**WHY, "although_unseen": "yes"})

    assert refused.value.status == 409
    assert "nobody else" in action.seen_by_others
    assert [len(logged(caplog, line)) for line in ("console_refused", "console_action")] == [1, 1]


@pytest.mark.parametrize(
    ("allows_actions", "form", "status"), [(False, WHY, 403), (True, {}, 400), (True, {"reason": " \t"}, 400)]
)
def test_what_is_not_allowed_or_has_no_reason_is_refused_and_logged(
    allows_actions: bool,  # noqa: FBT001 - a parameter of pytest
    form: dict[str, str],
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    console = console_on(is_local=False, allows_actions=allows_actions)

    with pytest.raises(ActionRefused) as refused:
        actions.begin(console, "discard", ids=["m1"], form=form)

    assert refused.value.status == status
    assert [line["action"] for line in logged(caplog, "console_refused")] == ["discard"]


def test_ten_thousand_ids_are_all_logged_in_lines_that_cloud_logging_takes(
    production: Console, cloud: CloudLogging, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ids = [id_of(number) for number in range(10_000)]

    actions.begin(production, "discard", ids=ids, form=WHY)

    lines = logged(caplog)
    assert [id_ for line in lines for id_ in line["ids"]] == ids
    assert {line["count"] for line in lines} == {10_000}
    assert [id_ for entry in cloud.entries for id_ in entry["jsonPayload"]["ids"]] == ids


def test_the_end_names_the_ids_of_each_ending(production: Console, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    action = actions.begin(production, "redrive", ids=["m1", "m2"], form=WHY)

    actions.end(production, action, {"redriven": ["m1"], "stopped": ["m2"]})

    lines = logged(caplog, "console_action_ended")
    assert {line["ending"]: line["ids"] for line in lines} == {"redriven": ["m1"], "stopped": ["m2"]}
    assert {line["action_id"] for line in lines} == {action.id}
