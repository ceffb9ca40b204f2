"""What `relay doctor` reads of the Google Cloud that deploy's gcloud writes to, in the shapes of Google's references.

Cloud Run: gcloud writes services in the Knative shape (version 1), doctor reads them in version 2. Pub/Sub: what the
emulator cannot change is kept here, over its answers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, override
from urllib.parse import urlsplit

import requests
from google.cloud.run_v2.types import Revision, Service
from google.protobuf.json_format import ParseDict
from requests.adapters import BaseAdapter

from tests.support.google_cloud import NUMBER, GoogleCloud
from tests.support.serving import Reply, Request

REGION = "europe-west1"
INVOKER_CHECK_IS_OFF = "run.googleapis.com/invoker-iam-disabled"
_BEYOND_THE_EMULATOR = "expirationPolicy"
_NOT_FOUND = Reply({"error": {"code": 404, "status": "NOT_FOUND", "message": "not found"}}, 404)
_BY_TYPE = "TRAFFIC_TARGET_ALLOCATION_TYPE"


@dataclass
class ExaminedCloud(GoogleCloud):
    """Google's APIs for gcloud, and for doctor."""

    expirations: dict[str, Any] = field(default_factory=dict)
    """The expiration policies that differ from the emulator's, by the subscription's full name."""

    def services_path(self, name: str) -> str:
        """Return the full name of a service."""
        return f"projects/{self.project}/locations/{REGION}/services/{name}"

    def url_of(self, name: str) -> str:
        """Return the deterministic address of a service, its other one beside the one with a hash."""
        return f"https://{name}-{NUMBER}.{REGION}.run.app"

    @override
    def _answer(self, request: Request) -> Reply:
        api, version, path = urlsplit(request.path).path.removeprefix("/").split("/", 2)
        if path.endswith("IamPolicy"):
            return super()._answer(request)
        if (api, version, request.method) == ("run", "v2", "GET"):
            return self._run(path.removeprefix(self.services_path("")))
        if (api, version) == ("cloudresourcemanager", "v3"):
            return Reply({"name": f"projects/{NUMBER}", "projectId": self.project, "state": "ACTIVE"})
        if api == "firestore" and request.method == "GET" and "/databases/" in path:
            return self._firestore(path, super()._answer(request))
        if api == "pubsub" and path.rpartition("/")[0].endswith("/subscriptions"):
            return self._subscription(request, path)
        return super()._answer(request)

    def _run(self, path: str) -> Reply:
        name, _, revision = path.partition("/revisions/")
        if name not in self.run.services or (revision and revision not in self.run.revisions):
            return _NOT_FOUND
        if not revision:
            return Reply(self._service(name))
        shown = _revision(self.run.revisions[revision]["spec"])
        ParseDict(shown, Revision.pb(Revision()))
        return Reply({"name": f"{self.services_path(name)}/revisions/{revision}", **shown})

    def _service(self, name: str) -> dict[str, Any]:
        written = self.run.services[name]
        annotations, status, path = (
            written["metadata"].get("annotations", {}),
            written["status"],
            self.services_path(name),
        )
        latest = f"{path}/revisions/{status['latestReadyRevisionName']}"
        shown = {
            "name": path,
            "generation": str(written["metadata"]["generation"]),
            "template": _revision(written["spec"]["template"]["spec"]),
            "trafficStatuses": [_share(target) for target in status["traffic"]],
            "latestReadyRevision": latest,
            "latestCreatedRevision": latest,
            "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
            "uri": status["url"],
            "urls": [self.url_of(name), status["url"]],
            "invokerIamDisabled": annotations.get(INVOKER_CHECK_IS_OFF, "").lower() == "true",
        }
        ParseDict(shown, Service.pb(Service()))
        return shown

    def _firestore(self, path: str, answer: Reply) -> Reply:
        """Answer as a database that exists: no document yet, and TTL policies that are in force."""
        if "/documents/" in path:
            database = ("firestore", path.partition("/documents/")[0])
            return Reply({}) if database in self.held else _NOT_FOUND
        if "ttlConfig" in answer.body:
            return Reply({**answer.body, "ttlConfig": {"state": "ACTIVE"}})
        return answer

    def _subscription(self, request: Request, path: str) -> Reply:
        body = json.loads(request.body) if request.body else {}
        mask = set(body.get("updateMask", "").split(",")) - {""}
        if request.method == "PATCH" and _BEYOND_THE_EMULATOR in mask:
            self.expirations.pop(path, None)
            mask.discard(_BEYOND_THE_EMULATOR)
            body["updateMask"] = ",".join(mask)
            body["subscription"].pop(_BEYOND_THE_EMULATOR, None)
            sent = json.dumps(body).encode()
            request = Request("PATCH", request.path, sent) if mask else Request("GET", f"/pubsub/v1/{path}", b"")
        answer = super()._answer(request)
        if path in self.expirations and answer.status == requests.codes.ok:
            answer.body[_BEYOND_THE_EMULATOR] = self.expirations[path]
        return answer


@dataclass
class FromOutside(BaseAdapter):
    """The internet in front of the services: the receiver answers if it is public, the worker has no way in."""

    cloud: ExaminedCloud

    @override
    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.request, answer.url = request, str(request.url)
        answer.status_code = 200 if "receiver" in str(request.url) else 404
        return answer

    @override
    def close(self) -> None:
        """Keep nothing open."""


def _share(target: Mapping[str, Any]) -> dict[str, Any]:
    tag = {"tag": target["tag"], "uri": target["url"]} if "tag" in target else {}
    percent = {"percent": target["percent"]} if target.get("percent") else {}
    if target.get("latestRevision"):
        return {"type": f"{_BY_TYPE}_LATEST", **percent, **tag}
    return {"type": f"{_BY_TYPE}_REVISION", "revision": target["revisionName"], **percent, **tag}


def _revision(spec: Mapping[str, Any]) -> dict[str, Any]:
    container = spec["containers"][0]
    return {
        "containers": [{"image": container["image"], "env": [_variable(each) for each in container.get("env", [])]}],
        "timeout": f"{spec['timeoutSeconds']}s",
        "serviceAccount": spec["serviceAccountName"],
    }


def _variable(written: Mapping[str, Any]) -> dict[str, Any]:
    if "valueFrom" not in written:
        return {"name": written["name"], "value": written.get("value", "")}
    key = written["valueFrom"]["secretKeyRef"]
    return {"name": written["name"], "valueSource": {"secretKeyRef": {"secret": key["name"], "version": key["key"]}}}
