"""Google's APIs that gcloud calls in a deployment: they keep what they are told, and every request.

Each API is a prefix of the path (`CLOUDSDK_API_ENDPOINT_OVERRIDES_...`). Pub/Sub's requests go on to its emulator, but
for those about policies, which it does not know.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.support.cloud_run import PREFIX, CloudRun
from tests.support.serving import Reply, Request, serving_requests

NUMBER = "123456789012"
# The commands call these; another one would leave the machine, and fail for want of credentials.
APIS = (
    *("artifactregistry", "bigquery", "cloudbuild", "cloudresourcemanager", "cloudscheduler", "compute", "firestore"),
    *("iam", "logging", "monitoring", "pubsub", "run", "secretmanager", "serviceusage", "storage"),
)
_NOT_FOUND = Reply({"error": {"code": 404, "status": "NOT_FOUND", "message": "not found"}}, 404)
_BUILD = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
_IN_QUERY = {"secrets": "secretId", "repositories": "repositoryId", "databases": "databaseId"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request that changes something."""

    api: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any

    def __str__(self) -> str:
        """Return what pytest shows."""
        return f"{self.api} {self.method} {self.path} {self.body}"


@dataclass
class GoogleCloud:
    """What lies in the cloud, by the API and the resource's path."""

    project: str
    pubsub_emulator: str
    held: dict[tuple[str, str], Any] = field(default_factory=dict)
    policies: dict[tuple[str, str], Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    """The changes, as they came."""
    run: CloudRun = field(default_factory=CloudRun)
    lock: threading.RLock = field(default_factory=threading.RLock)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator["GoogleCloud"]:
        with serving_requests(self._answer) as self.url:
            yield self

    def environ(self, home: Path) -> dict[str, str]:
        """Return what makes gcloud call this instead of Google; `home` is for its own files."""
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
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        }

    def _answer(self, request: Request) -> Reply:
        url = urlsplit(request.path)
        _, api, rest = url.path.split("/", 2)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        body = json.loads(request.body) if request.body else {}
        with self.lock:
            if api == "pubsub" and not rest.endswith("IamPolicy"):
                return self._through(request, rest + (f"?{url.query}" if url.query else ""), query, body)
            call = Call(
                api,
                request.method,
                _without_version(rest).replace("projects/-/", f"projects/{self.project}/"),
                query,
                body,
            )
            if request.method != "GET" and not call.path.endswith(":getIamPolicy"):
                self.calls.append(call)
            if f"{api}/{rest}".startswith(PREFIX):
                return self.run.answer(request, f"{api}/{rest}", body)
            return self._verb(call) if ":" in call.path.rpartition("/")[2] else self._resource(call)

    def _through(self, request: Request, path: str, query: dict[str, str], body: Any) -> Reply:
        if request.method != "GET":
            self.calls.append(Call("pubsub", request.method, _without_version(path), query, body))
        url = f"http://{self.pubsub_emulator}/{path}"
        answered = requests.request(request.method, url, data=request.body, timeout=10)
        return Reply(answered.json(), answered.status_code)

    def _verb(self, call: Call) -> Reply:
        path, _, verb = call.path.rpartition(":")
        key = (call.api, path)
        if verb == "getIamPolicy":
            return Reply(self.policies.get(key, {"etag": "BwE="}))
        if verb == "setIamPolicy":
            self.policies[key] = call.body["policy"]
            return Reply(call.body["policy"])
        if verb == "batchEnable":
            for name in call.body["serviceIds"]:
                whole = f"{path}/{name}"
                self.held["serviceusage", whole] = {"name": whole, "state": "ENABLED", "config": {"name": name}}
            return Reply({"name": "operations/done", "done": True, "response": {}})
        if verb == "addVersion":
            number = len(self._under(call.api, f"{path}/versions")) + 1
            self.held[call.api, f"{path}/versions/{number}"] = version = {
                "name": f"{path}/versions/{number}",
                "state": "ENABLED",
                "clientSpecifiedPayloadChecksum": True,
            }
            return Reply(version)
        if verb == "testIamPermissions":
            return Reply({"permissions": call.body["permissions"]})
        return _NOT_FOUND

    def _resource(self, call: Call) -> Reply:
        key = (call.api, call.path)
        if call.method == "GET":
            return self._read(call)
        if call.method == "POST":
            return self._created(call)
        if call.method == "DELETE":
            return self._finished(call, {}) if self.held.pop(key, None) else _NOT_FOUND
        self.held[key] = {**self.held.get(key, {}), **call.body, "name": self._name(call)}
        return self._finished(call, self.held[key])

    def _read(self, call: Call) -> Reply:
        parent, _, last = call.path.rpartition("/")
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
            wanted = {**wanted, "id": f"{self.project}:{call.path.split('/')[3]}.{name}"}
        elif call.api == "compute":
            name = wanted["name"]
        elif call.api in {"logging", "cloudscheduler"}:
            name = wanted["name"].rpartition("/")[2]
        else:
            name = wanted.get("name", str(len(self.calls)))
            wanted = {**wanted, "name": f"{call.path}/{name}"}
        if collection == "builds":
            return Reply(
                {
                    "name": "operations/build",
                    "metadata": {"@type": _BUILD, "build": {**wanted, "id": name, "projectId": self.project}},
                }
            )
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
