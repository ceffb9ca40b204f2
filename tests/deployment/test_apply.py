"""What beside the services is on Google after `python -m deploy apply`, and what a second run and a change do."""

import base64
from dataclasses import dataclass
from typing import Any

import pytest
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.cloud.monitoring_v3.types import AlertPolicy
from google.protobuf.json_format import ParseDict

from deploy.wanted.store import RISING_FIELDS
from relay.local.services import ROOT
from relay.pubsub import provisioning
from relay.stores.firestore import COLLECTION
from relay.stores.firestore_documents import fields_of
from relay.stores.records import Record
from relay.topology import EMULATOR_DEAD_LETTER_RETENTION_SECONDS, Topology
from tests.deployment.conftest import Deployer, somebody
from tests.support.google_cloud import NUMBER, GoogleCloud
from tests.support.google_refusals import Call
from tests.support.in_the_cloud import Described, described, grants, held, without_names

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]  # A hundred runs of gcloud, most in the first fixture.
WORKER = f"https://onestock-worker-{NUMBER}.europe-west1.run.app"
SETTINGS = {
    "ALERT_EMAIL": "on-call@example.com",
    "WATCHDOG_SCHEDULE": "*/10 * * * *",
    "BIGQUERY_DATASET": "onestock_archive",
    "ARMOR_POLICY": "onestock-receiver",
    "ONESTOCK_API_URL": "https://api.example.com",
    "ONESTOCK_HASH_KEYS": "a-test-hash-key",
    "ONESTOCK_PASSWORD": "a-test-password",
    "PUBSUB_REGIONS": "europe-west1",
}
OTHER = {"WORKER_SERVICE": "other-worker", "ALERT_EMAIL": "other@example.com", "DEAD_LETTER_RETENTION": "6d"}
AGENT = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
ACCOUNTS = {
    name: f"serviceAccount:onestock-{name}@PROJECT.iam.gserviceaccount.com"
    for name in ("build", "receiver", "worker", "push")
}
FIELDS_THAT_DO_NOT_RISE = {"lease_seconds"}


@dataclass(frozen=True)
class Applied:
    """The changes that Google was asked for in three runs, and the subscriptions and topics after each."""

    runs: dict[str, list[Call]]
    pubsub: dict[str, Described]


@pytest.fixture(scope="module")
def deployer(cloud: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    """Somebody in an empty project who has not chosen anything yet."""
    deployer = somebody(cloud, tmp_path_factory)
    deployer.keep()
    return deployer


@pytest.fixture(scope="module")
def applied(deployer: Deployer, cloud: GoogleCloud) -> Applied:
    deployer.settings = SETTINGS
    runs, pubsub = {}, {}
    for name, groups, settings in (
        ("first", (), {}),
        ("second", (), {}),
        ("changed", ("pubsub", "watch", "watchdog"), {**OTHER, "WATCHDOG_SCHEDULE": "0 * * * *"}),
    ):
        runs[name] = deployer.did("apply", *groups, **settings)
        pubsub[name] = described(cloud)
    return Applied(runs, pubsub)


def test_pubsub_is_as_in_the_local_run(applied: Applied, cloud: GoogleCloud) -> None:
    names = ("local-events", "local-push", "local-dead", "local-dead-pull")
    wanted = Topology(
        project=cloud.project,
        topic=names[0],
        subscription=names[1],
        dead_letter_topic=names[2],
        dead_letter_subscription=names[3],
        push_endpoint=f"{WORKER}/pubsub/push",
        dead_letter_retention_seconds=EMULATOR_DEAD_LETTER_RETENTION_SECONDS,
    )
    provisioning.create(wanted)

    local = described(cloud)

    ours = ("onestock-events", "onestock-events-push", "onestock-dead-letters", "onestock-dead-letters-pull")
    for name, local_name in zip(ours, names, strict=True):
        assert without_names(applied.pubsub["first"][name]) == without_names(local[local_name])


def test_the_push_subscription_has_exactly_what_the_design_asks_for(applied: Applied, cloud: GoogleCloud) -> None:
    push = applied.pubsub["first"]["onestock-events-push"]

    assert push["push_config"]["push_endpoint"] == f"{WORKER}/pubsub/push"
    assert push["push_config"]["oidc_token"] == {
        "service_account_email": f"onestock-push@{cloud.project}.iam.gserviceaccount.com",
        "audience": WORKER,
    }
    assert push["ack_deadline_seconds"] == 600
    assert push["enable_message_ordering"] is True
    assert push["expiration_policy"] == {}
    assert push["retry_policy"] == {"minimum_backoff": "10s", "maximum_backoff": "600s"}
    assert push["dead_letter_policy"] == {
        "dead_letter_topic": f"projects/{cloud.project}/topics/onestock-dead-letters",
        "max_delivery_attempts": 100,
    }


def test_every_event_is_archived_where_a_dataset_is_named(applied: Applied, cloud: GoogleCloud) -> None:
    archive = applied.pubsub["first"]["onestock-events-archive"]

    assert archive["bigquery_config"]["table"] == f"{cloud.project}.onestock_archive.events"
    assert archive["bigquery_config"]["write_metadata"] is True
    [table] = held(cloud, "bigquery", "tables")
    columns = {column["name"]: column["type"] for column in table["schema"]["fields"]}
    assert columns == {
        "subscription_name": "STRING",
        "message_id": "STRING",
        "publish_time": "TIMESTAMP",
        "data": "BYTES",
        "attributes": "STRING",
    }


def test_a_second_run_changes_nothing(applied: Applied) -> None:
    assert applied.runs["first"]
    assert applied.runs["second"] == []
    assert applied.pubsub["second"] == applied.pubsub["first"]


def test_a_changed_value_updates_what_exists(applied: Applied, cloud: GoogleCloud) -> None:
    before, after = applied.pubsub["first"], applied.pubsub["changed"]
    other = WORKER.replace("onestock-worker", "other-worker")

    assert after.keys() == before.keys()
    push = after["onestock-events-push"]["push_config"]
    assert (push["push_endpoint"], push["oidc_token"]["audience"]) == (f"{other}/pubsub/push", other)
    assert without_names(after["onestock-events-push"]) == without_names(before["onestock-events-push"])
    assert after["onestock-dead-letters-pull"]["message_retention_duration"] == "518400s"
    assert held(cloud, "cloudscheduler", "jobs")[0]["schedule"] == "0 * * * *"
    assert held(cloud, "monitoring", "notificationChannels")[0]["labels"] == {"email_address": "other@example.com"}
    metrics = {metric["name"].rpartition("/")[2]: metric for metric in held(cloud, "logging", "metrics")}
    assert 'service_name="other-worker"' in metrics["onestock_deliveries"]["filter"]
    assert all(call.method != "POST" for call in applied.runs["changed"])


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("topics/onestock-events", {(ACCOUNTS["receiver"], "roles/pubsub.publisher", "")}),
        (
            "topics/onestock-dead-letters",
            {(AGENT, "roles/pubsub.publisher", ""), (ACCOUNTS["worker"], "roles/pubsub.publisher", "")},
        ),
        ("subscriptions/onestock-events-push", {(AGENT, "roles/pubsub.subscriber", "")}),
        (
            "secrets/onestock-hash-keys",
            {
                (ACCOUNTS["receiver"], "roles/secretmanager.secretAccessor", ""),
                (ACCOUNTS["build"], "roles/secretmanager.viewer", ""),
            },
        ),
        (
            "secrets/onestock-password",
            {
                (ACCOUNTS["worker"], "roles/secretmanager.secretAccessor", ""),
                (ACCOUNTS["build"], "roles/secretmanager.viewer", ""),
            },
        ),
        ("-onestock-build", {(ACCOUNTS["build"], "roles/storage.objectViewer", "")}),
        ("repositories/onestock", {(ACCOUNTS["build"], "roles/artifactregistry.writer", "")}),
        ("serviceAccounts/onestock-worker@PROJECT", {(ACCOUNTS["build"], "roles/iam.serviceAccountUser", "")}),
        (
            "serviceAccounts/onestock-push@PROJECT",
            {
                (ACCOUNTS["build"], "roles/iam.serviceAccountUser", ""),
                (AGENT, "roles/iam.serviceAccountTokenCreator", ""),
            },
        ),
    ],
)
def test_nobody_may_do_more_than_the_design_asks_for(
    cloud: GoogleCloud, where: str, expected: set[tuple[str, str, str]]
) -> None:
    path = where.replace("PROJECT", f"{cloud.project}.iam.gserviceaccount.com")

    assert grants(cloud, path) == expected


@pytest.mark.usefixtures("applied")
def test_in_the_whole_project_only_the_build_may_do_something_without_a_condition(cloud: GoogleCloud) -> None:
    given = grants(cloud, f"projects/{cloud.project}")
    dataset = "projects/PROJECT/datasets/onestock_archive"

    assert {member for member, _, condition in given if not condition} == {ACCOUNTS["build"]}
    assert {grant for grant in given if grant[2]} == {
        (ACCOUNTS["worker"], "roles/datastore.user", 'resource.name=="projects/PROJECT/databases/onestock-relay"'),
        (
            AGENT,
            "roles/bigquery.dataEditor",
            f'resource.name=="{dataset}"||resource.name.startsWith("{dataset}/tables/")',
        ),
    }
    assert not {role for _, role, _ in given} & {"roles/owner", "roles/editor", "roles/pubsub.admin"}


def test_the_secrets_get_the_values_that_were_brought(applied: Applied) -> None:
    added = [call for call in applied.runs["first"] if call.path.endswith(":addVersion")]

    values = {call.path.split("/")[3]: base64.b64decode(call.body["payload"]["data"]) for call in added}

    assert values == {
        "onestock-hash-keys:addVersion": b"a-test-hash-key",
        "onestock-password:addVersion": b"a-test-password",
    }


@pytest.mark.usefixtures("applied")
def test_the_store_forgets_what_has_expired(cloud: GoogleCloud) -> None:
    [database] = held(cloud, "firestore", "databases")
    [field] = [each for each in held(cloud, "firestore", "fields") if "ttlConfig" in each]

    assert (database["type"], database["locationId"]) == ("FIRESTORE_NATIVE", "europe-west1")
    assert field["name"].endswith(f"/databases/onestock-relay/collectionGroups/{COLLECTION}/fields/expires_at")
    assert field["ttlConfig"] == {}


def test_secrets_sources_and_events_stay_in_the_region(applied: Applied, cloud: GoogleCloud) -> None:
    made = [call.body for call in applied.runs["first"] if call.path.endswith("/secrets")]
    [bucket] = held(cloud, "storage", "b")

    replicas = [secret["replication"]["userManaged"]["replicas"] for secret in made]
    assert replicas == [[{"location": "europe-west1"}]] * 2
    assert bucket["location"] == "europe-west1"
    for topic in ("onestock-events", "onestock-dead-letters"):
        policy = applied.pubsub["first"][topic]["message_storage_policy"]
        assert policy["allowed_persistence_regions"] == ["europe-west1"]


def test_pubsubs_own_account_is_made_to_exist_before_it_is_granted_anything(applied: Applied) -> None:
    calls = [str(call) for call in applied.runs["first"]]

    made = next(number for number, call in enumerate(calls) if "generateServiceIdentity" in call)
    granted = next(number for number, call in enumerate(calls) if AGENT in call)
    assert made < granted
    assert not [call for call in applied.runs["second"] if "generateServiceIdentity" in str(call)]


@pytest.mark.usefixtures("applied")
def test_no_value_that_rises_with_time_is_indexed(cloud: GoogleCloud) -> None:
    fields = held(cloud, "firestore", "fields")

    exempt = {each["name"].rpartition("/")[2] for each in fields if each.get("indexConfig") == {}}
    record = fields_of(Record(expires_at=0), lease_seconds=660)
    assert exempt == set(RISING_FIELDS)
    assert exempt <= set(record)
    assert set(record) - exempt == FIELDS_THAT_DO_NOT_RISE


@pytest.mark.usefixtures("applied")
def test_a_tag_of_an_image_never_moves(cloud: GoogleCloud) -> None:
    [repository] = held(cloud, "artifactregistry", "repositories")

    assert repository["format"] == "DOCKER"
    assert repository["dockerConfig"] == {"immutableTags": True}


def test_what_is_in_monitoring_is_applied_and_valid(applied: Applied) -> None:
    made: dict[str, Any] = {"metrics": LogMetric, "alertPolicies": AlertPolicy, "dashboards": Dashboard}
    for kind, message in made.items():
        calls = [call for call in applied.runs["first"] if call.path.endswith(f"/{kind}")]
        files = {"metrics": "metrics/*.yaml", "alertPolicies": "alerts/*.yaml", "dashboards": "dashboard.json"}[kind]
        assert len(calls) == len(list((ROOT / "deploy" / "monitoring").glob(files))) > 0
        for call in calls:
            ParseDict(call.body, message.pb(message()))


@pytest.mark.usefixtures("applied")
def test_every_policy_tells_the_channel(cloud: GoogleCloud) -> None:
    [channel] = held(cloud, "monitoring", "notificationChannels")
    policies = held(cloud, "monitoring", "alertPolicies")

    assert {tuple(policy["notificationChannels"]) for policy in policies} == {(channel["name"],)}


@pytest.mark.usefixtures("applied")
def test_a_setting_that_is_not_given_stays_as_it_is(deployer: Deployer, cloud: GoogleCloud) -> None:
    channel_by_hand = f"projects/{cloud.project}/notificationChannels/by-hand"
    cloud.held["monitoring", channel_by_hand] = {"name": channel_by_hand, "displayName": "somebody's pager"}
    policies = held(cloud, "monitoring", "alertPolicies")
    policies[0]["notificationChannels"].append(channel_by_hand)
    policies[1]["documentation"] = {"content": "spoiled"}
    before = [list(policy["notificationChannels"]) for policy in policies]

    [call] = deployer.did("apply", "watch", **dict.fromkeys(SETTINGS, ""))

    assert (call.method, call.query["updateMask"]) == ("PATCH", "documentation")
    assert [policy["notificationChannels"] for policy in held(cloud, "monitoring", "alertPolicies")] == before
    del cloud.held["monitoring", channel_by_hand]
    policies[0]["notificationChannels"].remove(channel_by_hand)


def test_without_the_file_of_what_was_chosen_nothing_is_done(deployer: Deployer, applied: Applied) -> None:
    assert applied.runs["first"]
    kept = deployer.kept.read_text()
    deployer.kept.unlink()
    before = len(deployer.cloud.calls)

    ended = deployer.run("apply", "watch")

    deployer.kept.write_text(kept)
    assert ended.returncode == 2
    assert f"{deployer.kept}: missing; it keeps what was chosen for {deployer.cloud.project}" in ended.stderr
    assert len(deployer.cloud.calls) == before


@pytest.mark.usefixtures("applied")
def test_one_address_cannot_flood_the_receiver_where_cloud_armor_is_asked_for(cloud: GoogleCloud) -> None:
    [policy] = held(cloud, "compute", "securityPolicies")

    throttle, otherwise = policy["rules"]
    assert throttle["rateLimitOptions"]["rateLimitThreshold"] == {"count": 3000, "intervalSec": 60}
    assert otherwise["action"] == "allow"


def test_the_watchdog_is_called_as_the_subscription_calls(applied: Applied, cloud: GoogleCloud) -> None:
    [made] = [call for call in applied.runs["first"] if call.api == "cloudscheduler"]

    target = made.body["httpTarget"]
    assert (target["httpMethod"], target["uri"]) == ("POST", f"{WORKER}/onestock/watchdog")
    assert target["oidcToken"] == {
        "serviceAccountEmail": f"onestock-push@{cloud.project}.iam.gserviceaccount.com",
        "audience": WORKER,
    }


def test_a_dry_run_prints_each_command_and_changes_nothing(deployer: Deployer, applied: Applied) -> None:
    before = len(deployer.cloud.calls)

    ended = deployer.run("apply", "pubsub", "--dry-run", PUBSUB_SUBSCRIPTION="other-push")

    assert "gcloud pubsub subscriptions create other-push --topic=onestock-events" in ended.stdout
    assert ended.stdout.endswith("changes to make\n")
    assert len(deployer.cloud.calls) == before
    assert applied.runs["changed"]


def test_a_teardown_asks_and_then_leaves_only_the_apis(deployer: Deployer, applied: Applied) -> None:
    assert applied.runs["changed"]
    deployer.gcloud("pubsub", "topics", "create", "onestock-events-push-paused")
    before = len(deployer.cloud.calls)

    refused = deployer.run("teardown", **OTHER, stdin="n\n")
    untouched = len(deployer.cloud.calls) == before
    ended = deployer.run("teardown", "--yes", **OTHER)

    assert (refused.returncode, untouched) == (1, True)
    assert "delete topic onestock-events" in refused.stdout
    # Another test has made topics beside, as the local run has them; they are not the deployment's.
    assert "onestock-" not in deployer.gcloud("pubsub", "topics", "list", "--format=value(name)").stdout
    assert ended.returncode == 0, ended.stderr
    left = {api for (api, path) in deployer.cloud.held if "/versions/" not in path}
    assert left <= {"serviceusage", "bigquery", "firestore"}
    assert not grants(deployer.cloud, f"projects/{deployer.cloud.project}")
