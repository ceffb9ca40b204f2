"""Google's REST APIs with a relay as deploy/ makes it: each resource under its path, to be spoiled by a test."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from relay.topology import COMPLETED_RUNS_ARE_REMEMBERED_SECONDS
from tests.support.serving import Reply, Request, serving_requests

PROJECT, NUMBER, REGION = "test-relay", "123456789012", "europe-west1"
PUSHER = f"onestock-push@{PROJECT}.iam.gserviceaccount.com"
AGENT = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
KEYS = "test-key-new,test-key-old"

_BASE = f"projects/{PROJECT}"
TOPIC, DEAD_LETTERS = f"{_BASE}/topics/onestock-events", f"{_BASE}/topics/onestock-dead-letters"
PUSH, PULL = f"{_BASE}/subscriptions/onestock-events-push", f"{_BASE}/subscriptions/onestock-dead-letters-pull"
RECEIVER = f"{_BASE}/locations/{REGION}/services/onestock-receiver"
WORKER = f"{_BASE}/locations/{REGION}/services/onestock-worker"
RECEIVING = f"{RECEIVER}/revisions/onestock-receiver-00001-abc"
WORKING = f"{WORKER}/revisions/onestock-worker-00001-abc"
PAUSED = f"{_BASE}/topics/onestock-events-push-paused"
ALERTS, CHANNELS = f"{_BASE}/alertPolicies", f"{_BASE}/notificationChannels"
DATABASE = f"{_BASE}/databases/onestock-relay"
DOCUMENTS = f"{DATABASE}/documents/onestock_relay_runs"
EXPIRY = f"{DATABASE}/collectionGroups/onestock_relay_runs/fields/expires_at"
SECRET = f"{_BASE}/secrets/onestock-hash-keys/versions/3:access"


def policy(**members: str) -> dict[str, Any]:
    """Return an IAM policy; `pubsub_publisher` is the role roles/pubsub.publisher."""
    roles = [{"role": f"roles/{role.replace('_', '.')}", "members": names.split()} for role, names in members.items()]
    return {"version": 1, "etag": "BwE=", "bindings": roles}


def service(path: str, url: str, timeout: str, variables: dict[str, str], **fields: Any) -> dict[str, dict[str, Any]]:
    """Return a Cloud Run service in the API's second version, and its serving revision, by their paths.

    The service's template is a later one that has no traffic yet: what runs is in the revision.
    """
    name = path.rpartition("/")[2]
    revision = f"{path}/revisions/{name}-00001-abc"
    container = {"image": "relay", "env": [{"name": name, "value": value} for name, value in variables.items()]}
    email = f"{name}@{PROJECT}.iam.gserviceaccount.com"
    share = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}
    return {
        path: {
            "name": path,
            "uri": url,
            "urls": [f"{url}-{NUMBER}", url],
            "template": {"containers": [{"image": "relay"}], "timeout": "1s", "serviceAccount": "later@example.com"},
            "traffic": [share],
            "trafficStatuses": [share],
            "latestReadyRevision": revision,
            "latestCreatedRevision": revision,
            "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
            **fields,
        },
        revision: {"name": revision, "containers": [container], "timeout": timeout, "serviceAccount": email},
    }


def account(role: str) -> str:
    """Return a service's own account, as a member of a policy."""
    return f"serviceAccount:onestock-{role}@{PROJECT}.iam.gserviceaccount.com"


def topics_and_subscriptions(worker_url: str) -> dict[str, dict[str, Any]]:
    """Return what lies in Pub/Sub."""
    token = {"serviceAccountEmail": PUSHER, "audience": worker_url}
    return {
        TOPIC: {"name": TOPIC, "messageRetentionDuration": "604800s"},
        f"{TOPIC}/subscriptions": {"subscriptions": [PUSH]},
        f"{TOPIC}:getIamPolicy": policy(pubsub_publisher=account("receiver")),
        DEAD_LETTERS: {"name": DEAD_LETTERS, "messageRetentionDuration": "2678400s"},
        f"{DEAD_LETTERS}:getIamPolicy": policy(pubsub_publisher=f"{AGENT} {account('worker')}"),
        PUSH: {
            "name": PUSH,
            "topic": TOPIC,
            "pushConfig": {"pushEndpoint": f"{worker_url}/pubsub/push", "oidcToken": token},
            "ackDeadlineSeconds": 600,
            "messageRetentionDuration": "604800s",
            "enableMessageOrdering": True,
            "expirationPolicy": {},
            "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"},
            "deadLetterPolicy": {"deadLetterTopic": DEAD_LETTERS, "maxDeliveryAttempts": 100},
            "state": "ACTIVE",
        },
        f"{PUSH}:getIamPolicy": policy(pubsub_subscriber=AGENT),
        PULL: {
            "name": PULL,
            "topic": DEAD_LETTERS,
            "pushConfig": {},
            "ackDeadlineSeconds": 60,
            "messageRetentionDuration": "2678400s",
            "expirationPolicy": {},
            "state": "ACTIVE",
        },
    }


def services(url: str, worker_url: str) -> dict[str, dict[str, Any]]:
    """Return what runs on Cloud Run."""
    variables = {"GOOGLE_CLOUD_PROJECT": PROJECT, "PUBSUB_TOPIC": TOPIC}
    receiver = service(RECEIVER, f"{url}/receiver", "15s", variables, invokerIamDisabled=True)
    key = {"secretKeyRef": {"secret": "onestock-hash-keys", "version": "3"}}
    receiver[RECEIVING]["containers"][0]["env"].append({"name": "ONESTOCK_HASH_KEYS", "valueSource": key})
    worker = {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "PUBSUB_DEAD_LETTER_TOPIC": "onestock-dead-letters",
        "PUSH_AUTH": "iam",
        "PUSH_AUDIENCE": worker_url,
        "PUSH_SERVICE_ACCOUNT": PUSHER,
        "IDEMPOTENCY_STORE": "firestore",
        "FIRESTORE_DATABASE": "onestock-relay",
        "RETENTION_SECONDS": str(COMPLETED_RUNS_ARE_REMEMBERED_SECONDS),
    }
    return {
        **receiver,
        f"{RECEIVER}:getIamPolicy": policy(),
        **service(WORKER, worker_url, "600s", worker),
        f"{WORKER}:getIamPolicy": policy(run_invoker=f"serviceAccount:{PUSHER}"),
    }


def alerts() -> dict[str, dict[str, Any]]:
    """Return what lies in Cloud Monitoring."""
    channel = f"{_BASE}/notificationChannels/1"
    policies = [
        {"name": f"{_BASE}/alertPolicies/{number}", "displayName": f"OneStock - test {number}", "enabled": True}
        for number in range(2)
    ]
    labels = {"email_address": "on-call@example.com"}
    return {
        ALERTS: {"alertPolicies": [{**policy, "notificationChannels": [channel]} for policy in policies]},
        CHANNELS: {"notificationChannels": [{"name": channel, "displayName": "OneStock relay", "labels": labels}]},
    }


def installed(url: str) -> dict[str, dict[str, Any]]:
    """Return every resource of a relay as it must be; the services are under `url`, the worker private."""
    worker_url = f"{url}/worker"
    return {
        _BASE: {"name": f"projects/{NUMBER}", "projectId": PROJECT},
        f"{_BASE}:getIamPolicy": policy(),
        **topics_and_subscriptions(worker_url),
        **services(url, worker_url),
        **alerts(),
        SECRET: {"name": SECRET, "payload": {"data": base64.b64encode(KEYS.encode()).decode()}},
        "receiver/health": {"status": "ok"},
        DOCUMENTS: {"documents": []},
        EXPIRY: {"name": EXPIRY, "ttlConfig": {"state": "ACTIVE"}},
    }


@dataclass
class GoogleApis:
    """The resources by path; what is in `forbidden` may not be read."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator["GoogleApis"]:
        with serving_requests(self._answer) as self.url:
            self.install()
            yield self

    def install(self) -> None:
        """Make everything as it must be, and readable."""
        self.resources = installed(self.url)
        self.forbidden = set()

    def _answer(self, request: Request) -> Reply:
        path = request.path.partition("?")[0].removeprefix("/")
        if path in self.forbidden:
            return Reply({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "you may not"}}, 403)
        if path in self.resources:
            return Reply(self.resources[path])
        return Reply({"error": {"code": 404, "status": "NOT_FOUND", "message": "there is no such thing"}}, 404)
