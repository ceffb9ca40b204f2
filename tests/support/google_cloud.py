"""Google's APIs that gcloud calls in a deployment: they keep what they are told, and every request.

Each API is a prefix of the path (`CLOUDSDK_API_ENDPOINT_OVERRIDES_...`). Pub/Sub's requests go on to its emulator, but
for those about policies, which it does not know.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.support.cloud_build import CloudBuild
from tests.support.cloud_run import PREFIX, CloudRun
from tests.support.gcloud import warmth
from tests.support.google_refusals import Call, Refusals, refused
from tests.support.long_retention import LongRetention
from tests.support.serving import Reply, Request, serving_requests

NUMBER = "123456789012"
# The commands call these; another one would leave the machine, and fail for want of credentials.
APIS = (
    *("artifactregistry", "bigquery", "cloudbuild", "cloudresourcemanager", "cloudscheduler", "compute", "firestore"),
    *("iam", "logging", "monitoring", "pubsub", "run", "secretmanager", "serviceusage", "storage"),
)
_NOT_FOUND = Reply({"error": {"code": 404, "status": "NOT_FOUND", "message": "not found"}}, 404)
_IN_QUERY = {"secrets": "secretId", "repositories": "repositoryId", "databases": "databaseId"}


@dataclass
class GoogleCloud:
    """What lies in the cloud, by the API and the resource's path."""

    project: str
    pubsub_emulator: str
    held: dict[tuple[str, str], Any] = field(default_factory=dict)
    policies: dict[tuple[str, str], Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    """The changes, as they came."""
    agents: set[str] = field(default_factory=set)
    """The e-mails of Google's own accounts in the project that exist."""
    log: list[dict[str, Any]] = field(default_factory=list)
    retention: LongRetention = field(default_factory=LongRetention)
    run: CloudRun = field(default_factory=CloudRun)
    build: CloudBuild = field(default_factory=CloudBuild)
    lock: threading.RLock = field(default_factory=threading.RLock)
    url: str = ""
    refusals: Refusals = field(init=False)
    _policy_changes: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.refusals = Refusals(self)

    @contextmanager
    def running(self, folder: Path) -> Iterator["GoogleCloud"]:
        """Answer until the block ends; builds run in `folder`."""
        self.build.folder, self.build.environ = folder, self.environ
        with serving_requests(self._answer) as self.url:
            yield self
            self.build.stop()

    def prepare(self) -> None:
        """Have what `apply access` makes: every API on, the relay's accounts, Pub/Sub's agent."""
        for api in APIS:
            self._enable(f"projects/{self.project}/services/{api}.googleapis.com")
        for role in ("build", "receiver", "worker", "push"):
            email = f"onestock-{role}@{self.project}.iam.gserviceaccount.com"
            name = f"projects/{self.project}/serviceAccounts/{email}"
            self.held["iam", name] = {"name": name, "email": email}
        self.agents.add(f"service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com")

    def environ(self, home: Path) -> dict[str, str]:
        """Return what makes gcloud call this instead of Google; `home` is for its own files."""
        token = home / "token"
        token.write_text("an-access-token-made-for-this-test")
        overrides = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"{self.url}/{api}/" for api in APIS}
        # gcloud puts the region in front of Cloud Run's host, and no name resolves there: this is a proxy for it.
        overrides["CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"] = "http://run.test/run/"
        return {
            **overrides,
            "http_proxy": self.url,
            "no_proxy": "127.0.0.1",
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLOUDSDK_CONFIG": str(home / "gcloud"),
            "GOOGLE_CLOUD_PROJECT": self.project,
            "PROJECT_NUMBER": NUMBER,
            "CLOUDSDK_CORE_PROJECT": self.project,
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            **warmth(),
        }

    def _answer(self, request: Request) -> Reply:
        url = urlsplit(request.path)
        _, api, rest = url.path.split("/", 2)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        body = json.loads(request.body) if request.body and api != "upload" else {}
        path = _without_version(rest).replace("projects/-/", f"projects/{self.project}/")
        call = Call(api, request.method, path, query, body)
        if "/alertPolicies" in path and request.method != "GET":
            return self._alone(call)
        with self.lock:
            refusal = self.refusals.of(call)
            if refusal is not None:
                return refusal
            if api == "upload":
                return self.build.upload(path.split("b/", 1)[1].split("/", 1)[0], query["name"], request.body)
            if api == "pubsub" and not rest.endswith("IamPolicy"):
                return self._through(request, rest + (f"?{url.query}" if url.query else ""), query, body)
            if request.method != "GET" and not call.path.endswith(":getIamPolicy"):
                self.calls.append(call)
            if f"{api}/{rest}".startswith(PREFIX):
                return self.run.answer(request, f"{api}/{rest}", body, url.netloc.removesuffix("-run.test"))
            return self._verb(call) if ":" in call.path.rpartition("/")[2] else self._resource(call)

    def _alone(self, call: Call) -> Reply:
        """Change an alert policy, if no other one is being changed."""
        if not self._policy_changes.acquire(blocking=False):
            return refused(409, "Too many concurrent edits to the project configuration. Please try again.")
        try:
            time.sleep(0.05)
            with self.lock:
                refusal = self.refusals.of(call)
                if refusal is None:
                    self.calls.append(call)
                return refusal or self._resource(call)
        finally:
            self._policy_changes.release()

    def _through(self, request: Request, path: str, query: dict[str, str], body: Any) -> Reply:
        if request.method != "GET":
            self.calls.append(Call("pubsub", request.method, _without_version(path), query, body))
        url = f"http://{self.pubsub_emulator}/{path}"
        sent = json.dumps(self.retention.sent(_without_version(path.partition("?")[0]), body)) if body else None
        answered = requests.request(request.method, url, data=sent, timeout=10)
        if path.endswith(":publish") or ":publish?" in path:
            self._push(body["messages"][0]["attributes"])
        return Reply(self.retention.shown(answered.json()), answered.status_code)

    def _push(self, attributes: dict[str, str]) -> None:
        """Do what the worker does with a smoke event, if its pushes come to it and it accepts their tokens."""
        topics = f"http://{self.pubsub_emulator}/v1/projects/{self.project}/subscriptions"
        pushes = requests.get(f"{topics}/onestock-events-push", timeout=10).json().get("pushConfig", {})
        callers = self.callers("onestock-worker")
        if self.run.takes_push("onestock-worker", pushes, callers) and attributes["smoke"] == "true":
            fields = {"line": "delivery", "outcome": "handled", "event_id": attributes["event_id"]}
            self.log.append({"jsonPayload": fields})

    def callers(self, service: str) -> set[str]:
        """Return who is granted something on a service of Cloud Run."""
        found = [policy for (_, path), policy in self.policies.items() if path.endswith(f"/services/{service}")]
        return {member for policy in found for binding in policy.get("bindings", []) for member in binding["members"]}

    def _verb(self, call: Call) -> Reply:
        path, _, verb = call.path.rpartition(":")
        answers: dict[str, Callable[[Call, str], Reply]] = {
            "getIamPolicy": lambda call, path: Reply(self.policies.get((call.api, path), {"etag": "BwE="})),
            "setIamPolicy": self._set_policy,
            "list": self._logged,
            "generateServiceIdentity": self._agent_made,
            "batchEnable": self._enabled,
            "access": self._secret_read,
            "addVersion": self._secret_added,
            "testIamPermissions": lambda call, _: Reply({"permissions": call.body["permissions"]}),
        }
        return answers[verb](call, path) if verb in answers else _NOT_FOUND

    def _set_policy(self, call: Call, path: str) -> Reply:
        self.policies[call.api, path] = call.body["policy"]
        return Reply(call.body["policy"])

    def _logged(self, call: Call, _: str) -> Reply:
        asked = call.body["filter"]
        return Reply({"entries": [line for line in self.log if line["jsonPayload"]["event_id"] in asked]})

    def _agent_made(self, _: Call, __: str) -> Reply:
        self.agents.add(f"service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com")
        return Reply({"name": "operations/done", "done": True, "response": {}})

    def _enabled(self, call: Call, path: str) -> Reply:
        for name in call.body["serviceIds"]:
            self._enable(f"{path}/{name}")
        return Reply({"name": "operations/done", "done": True, "response": {}})

    def _secret_read(self, call: Call, path: str) -> Reply:
        version = self._read(replace(call, path=path, method="GET")).body
        return Reply({"name": version["name"], "payload": version["payload"]})

    def _secret_added(self, call: Call, path: str) -> Reply:
        number = len(self._under(call.api, f"{path}/versions")) + 1
        version = {
            "name": f"{path}/versions/{number}",
            "state": "ENABLED",
            "clientSpecifiedPayloadChecksum": True,
        }
        self.held[call.api, f"{path}/versions/{number}"] = {**version, "payload": call.body["payload"]}
        return Reply(version)

    def _enable(self, whole: str) -> None:
        name = whole.rpartition("/")[2]
        self.held["serviceusage", whole] = {"name": whole, "state": "ENABLED", "config": {"name": name}}

    def _resource(self, call: Call) -> Reply:
        key = (call.api, call.path)
        if call.path.endswith("/iam"):
            return self._bucket_policy(call)
        if call.method == "GET":
            return self._read(call)
        if call.method == "POST":
            return self._created(call)
        if call.method == "DELETE":
            return self._finished(call, {}) if self.held.pop(key, None) else _NOT_FOUND
        # Without a mask a PATCH replaces the whole, as a PUT does.
        masked = set(call.query.get("updateMask", "").replace("_", "").lower().split(",")) - {""}
        before = self.held.get(key, {})
        kept = {name: value for name, value in before.items() if masked and name.lower() not in masked}
        self.held[key] = {**kept, **call.body, "name": self._name(call)}
        return self._finished(call, self.held[key])

    def _bucket_policy(self, call: Call) -> Reply:
        key = (call.api, call.path.removesuffix("/iam"))
        if call.method != "GET":
            self.policies[key] = call.body
        return Reply(self.policies.get(key, {"etag": "BwE="}))

    def _read(self, call: Call) -> Reply:
        parent, _, last = call.path.rpartition("/")
        if "/builds/" in call.path:
            return Reply(self.build.builds[last])
        if call.api == "storage" and call.path == "b":
            return Reply({"items": self._under(call.api, "b")})
        if (call.api, call.path) in self.held:
            return Reply(self.held[call.api, call.path])
        if last == "latest":
            return Reply(self._under(call.api, parent)[-1])
        if "/aggregated/" in call.path:
            return Reply(
                {"items": {"global": {last: self._under(call.api, call.path.replace("aggregated", "global"))}}}
            )
        return Reply({"accounts" if last == "serviceAccounts" else last: self._under(call.api, call.path)})

    def _created(self, call: Call) -> Reply:
        collection = call.path.rpartition("/")[2]
        if collection == "builds":
            return self.build.submit(call.body, self.project, NUMBER)
        wanted = call.body
        if call.api == "iam":
            email = f"{call.body['accountId']}@{self.project}.iam.gserviceaccount.com"
            wanted = {**call.body["serviceAccount"], "email": email, "name": f"{call.path}/{email}"}
            name = email
        elif collection in _IN_QUERY:
            name = call.query[_IN_QUERY[collection]]
            wanted = {**wanted, "name": f"{call.path}/{name}"}
        elif call.api == "bigquery":
            name = call.body["tableReference"]["tableId"]
            wanted = {**wanted, "id": f"{self.project}:{call.path.split('/')[-2]}.{name}"}
        elif call.api in {"compute", "storage"}:
            name = wanted["name"]
        elif call.api in {"logging", "cloudscheduler"}:
            name = wanted["name"].rpartition("/")[2]
        else:
            name = wanted.get("name", str(len(self.calls)))
            wanted = {**wanted, "name": f"{call.path}/{name}"}
        self.held[call.api, f"{call.path}/{name}"] = wanted
        return self._finished(call, wanted)

    def _name(self, call: Call) -> str:
        held = self.held.get((call.api, call.path), {})
        return str(held.get("name", call.path))

    def _finished(self, call: Call, resource: Any) -> Reply:
        if call.api == "compute":
            link = f"{self.url}/compute/{call.path}"
            return Reply(
                {"name": "done", "status": "DONE", "operationType": "insert", "selfLink": link, "targetLink": link}
            )
        if call.api not in {"artifactregistry", "firestore"}:
            return Reply(resource)
        parent = "/".join(str(resource.get("name", call.path)).split("/")[:4])
        return Reply({"name": f"{parent}/operations/done", "done": True, "response": resource})

    def _under(self, api: str, path: str) -> list[Any]:
        depth = path.count("/") + 1
        return [
            value
            for (of, name), value in self.held.items()
            if of == api and name.startswith(f"{path}/") and name.count("/") == depth
        ]


def _without_version(path: str) -> str:
    first, _, rest = path.partition("/")
    return rest if first.startswith("v") and first[1:2].isdigit() else path
