"""What `python -m deploy` decides to change, given what it found."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import DeployError, WrongUse
from deploy.installation import Installation, keep, read_kept
from deploy.resources import ENABLED_APIS, Apis, Change, Found, Grant, Resource, agrees
from deploy.wanted import AFTERWARDS, GROUPS
from deploy.wanted.secrets import FirstValue

LIST = ("pubsub", "subscriptions", "list")
SUBSCRIPTION = Resource(
    what="subscription push",
    api="pubsub.googleapis.com",
    listed_by=LIST,
    identity={"name": "push"},
    settings={"topic": "events", "ackDeadlineSeconds": 600, "expirationPolicy": {}},
    create=("pubsub", "subscriptions", "create", "push"),
    update=("pubsub", "subscriptions", "update", "push"),
    flags={"ackDeadlineSeconds": ("--ack-deadline=600",), "expirationPolicy": ("--expiration-period=never",)},
)
NAME = "projects/p/subscriptions/push"
RIGHT = {"name": NAME, "topic": "events", "ackDeadlineSeconds": 600, "expirationPolicy": {}}
GRANT = Grant(group=("projects",), name="p", member="user:a@example.com", role="roles/x", condition="c")
MONITORED = Found({ENABLED_APIS: [{"config": {"name": "monitoring.googleapis.com"}}]})
INSTALLATION = {"GOOGLE_CLOUD_PROJECT": "my-project", "PROJECT_NUMBER": "1"}


def found(*rows: Mapping[str, Any]) -> Found:
    return Found({LIST: list(rows)})


def commands(changes: list[Change]) -> list[str]:
    return [" ".join(change.command) for change in changes]


def test_what_is_missing_is_created_with_all_flags() -> None:
    changes = list(SUBSCRIPTION.changes(found({"name": "projects/p/subscriptions/other-push"})))

    assert commands(changes) == ["pubsub subscriptions create push --ack-deadline=600 --expiration-period=never"]


def test_what_is_right_is_left_alone() -> None:
    assert not list(SUBSCRIPTION.changes(found({**RIGHT, "state": "ACTIVE"})))


def test_a_teardown_in_a_pause_deletes_what_the_pause_is_kept_in_and_apply_leaves_it_alone() -> None:
    pubsub = GROUPS["pubsub"](Installation.from_environ(INSTALLATION))
    there = [{"name": f"projects/my-project/topics/{name}"} for name in ("onestock-events-push-paused", "another")]
    listed = Found({ENABLED_APIS: [{"config": {"name": "pubsub.googleapis.com"}}], ("pubsub", "topics", "list"): there})

    removals = [change for item in reversed(pubsub) for change in item.removals(listed)]
    changes = [change for item in pubsub for change in item.changes(listed)]

    assert commands(removals) == ["pubsub topics delete onestock-events-push-paused"]
    assert not [command for command in commands(changes) if "-paused" in command]


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"ackDeadlineSeconds": 10}, "--ack-deadline=600"),
        ({"expirationPolicy": {"ttl": "2678400s"}}, "--expiration-period=never"),
    ],
)
def test_only_what_is_wrong_is_updated(wrong: dict[str, Any], flag: str) -> None:
    changes = list(SUBSCRIPTION.changes(found({**RIGHT, **wrong})))

    assert commands(changes) == [f"pubsub subscriptions update push {flag}"]


def test_what_cannot_be_changed_is_said_and_not_tried() -> None:
    with pytest.raises(DeployError, match=r"^subscription push: topic cannot be changed; delete it and apply again$"):
        list(SUBSCRIPTION.changes(found({**RIGHT, "topic": "_deleted-topic_"})))


@pytest.mark.parametrize(
    ("wanted", "there", "is_right"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "c": 3}]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": 0, "b": "", "c": False, "d": {}}, {}, True),
        ({"a": {}}, {"a": {"ttl": "1s"}}, False),
        ({"count": 3000}, {"count": "3000"}, True),
        ({"a": {"b": 1}}, {"a": None}, False),
    ],
)
def test_google_may_add_fields_and_leave_out_what_is_empty(wanted: Any, there: Any, is_right: bool) -> None:  # noqa: FBT001 - a column
    assert agrees(wanted, there) is is_right


def test_a_grant_with_another_condition_is_another_grant() -> None:
    binding = {"role": "roles/x", "members": ["user:a@example.com"]}

    missing = list(GRANT.changes(Found({GRANT.policy: {"bindings": [binding]}})))
    there = {"bindings": [{**binding, "condition": {"expression": "c"}}]}

    flags = "--member=user:a@example.com --role=roles/x --condition=^;^title=onestock-relay;expression=c"
    assert commands(missing) == [f"projects add-iam-policy-binding p {flags}"]
    assert not list(GRANT.changes(Found({GRANT.policy: there})))


def test_a_secret_that_has_a_value_keeps_it() -> None:
    secret = Resource(what="s", api="x", listed_by=("secrets", "list"), identity={"name": "s"}, create=("c",))
    first = FirstValue(secret=secret, name="s", value=lambda: "made-up-for-this-test")
    [lookup] = first.lookups(Found({("secrets", "list"): [{"name": "projects/1/secrets/s"}]}))

    [added] = first.changes(Found({}))

    assert not list(first.changes(Found({lookup: [{"state": "ENABLED"}]})))
    assert (added.stdin, "made-up" in repr(added)) == ("made-up-for-this-test", False)


def test_nothing_is_looked_for_whose_api_is_off() -> None:
    on = Found({ENABLED_APIS: [{"config": {"name": SUBSCRIPTION.api}}]})

    assert not list(SUBSCRIPTION.lookups(Found({ENABLED_APIS: []})))
    assert list(SUBSCRIPTION.lookups(on)) == [LIST]
    assert not list(Apis((SUBSCRIPTION.api,)).changes(on))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GOOGLE_CLOUD_PROJECT": ""}, "GOOGLE_CLOUD_PROJECT: missing"),
        ({"WORKER_CONCURRENCY": "many"}, "WORKER_CONCURRENCY: many"),
        ({"WORKER_SETTINGS": "REFUND_URL"}, "WORKER_SETTINGS: write NAME=VALUE"),
        ({"RECEIVER_ACCESS": "everybody"}, "RECEIVER_ACCESS: everybody; set it to no-iam-check or all-users"),
        ({"PUSH_AUTH": "off"}, "PUSH_AUTH: off; set it to iam or oidc"),
        ({"WORKER_SERVICE": "w" * 63}, "WORKER_SERVICE: .* is too long for a host name"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        Installation.from_environ({**INSTALLATION, **settings})


def test_cloud_builds_substitutions_are_read_too() -> None:
    substituted = {"PROJECT_ID": "my-project", "PROJECT_NUMBER": "1", "_REGION": "europe-west3", "_ALERT_EMAIL": ""}

    installation = Installation.from_environ(substituted)

    assert installation.chosen() == {"REGION": "europe-west3"}
    assert installation.worker_url == "https://onestock-worker-1.europe-west3.run.app"


def test_what_is_optional_is_made_where_it_is_asked_for_only() -> None:
    plain = Installation.from_environ(INSTALLATION)

    assert [name for name, group in GROUPS.items() if not group(plain)] == ["archive", "watchdog", "armor"]


def test_what_was_chosen_is_kept_and_a_comment_stays(tmp_path: Path) -> None:
    file = tmp_path / "my-project.env"
    file.write_text("# Agreed with the shop.\nWORKER_MAX=20\nREGION=europe-west3\n")
    given = {**INSTALLATION, "WORKER_MAX": "30", "ALERT_EMAIL": "on-call@example.com"}
    installation = Installation.from_environ(given, read_kept(file))

    changed = keep(installation, file)

    assert changed
    assert file.read_text().startswith("# Agreed with the shop.\n")
    wanted = {"WORKER_MAX": "30", "REGION": "europe-west3", "ALERT_EMAIL": "on-call@example.com"}
    assert read_kept(file) == wanted
    assert not keep(Installation.from_environ(INSTALLATION, read_kept(file)), file)


def test_a_kept_setting_that_does_not_exist_is_named() -> None:
    with pytest.raises(WrongUse, match=r"my-project.env: there is no setting ALERT_MAIL"):
        Installation.from_environ(INSTALLATION, {"ALERT_MAIL": "on-call@example.com"})


def test_a_build_that_gives_a_service_other_settings_goes_before_the_file() -> None:
    installation = Installation.from_environ({**INSTALLATION, "_WORKER_MAX": "5"}, {"WORKER_MAX": "20"})

    assert installation.worker_max == "5"


def test_every_policy_tells_the_channels_that_were_named_beside_those_it_tells_already() -> None:
    named = [f"projects/my-project/notificationChannels/{number}" for number in (42, 43)]
    policies = AFTERWARDS(Installation.from_environ({**INSTALLATION, "ALERT_CHANNELS": " ".join(named)}))
    [listed_by] = {command for policy in policies for command in policy.lookups(MONITORED)}
    [added] = AFTERWARDS(Installation.from_environ(INSTALLATION))[0].changes(MONITORED)
    existing = {
        **json.loads(added.stdin),
        "name": "projects/my-project/alertPolicies/1",
        "notificationChannels": ["by-hand"],
    }

    made = [json.loads(change.stdin) for policy in policies for change in policy.changes(MONITORED)]
    [changed] = policies[0].changes(Found({listed_by: [existing]}))

    assert len(made) == len(policies)
    assert all(each["notificationChannels"] == named for each in made)
    assert json.loads(changed.stdin) == {"notificationChannels": ["by-hand", *named]}
