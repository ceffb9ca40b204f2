"""Cloud Run's Knative API, as far as gcloud needs it: services whose revisions are ready at once."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.serving import Reply, Request

PREFIX = "run/apis/serving.knative.dev/v1/namespaces/"
_INGRESS, _IS_UNCHECKED = "run.googleapis.com/ingress", "run.googleapis.com/invoker-iam-disabled"
_REGION = "cloud.googleapis.com/location"
_READY = [{"type": kind, "status": "True"} for kind in ("Ready", "ConfigurationsReady", "RoutesReady")]


@dataclass
class CloudRun:
    """The services of one project; `url` of a tag or a service is made up, or `address` where tests answer calls."""

    address: str = ""
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    revisions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, request: Request, path: str, body: Any, region: str) -> Reply:
        """Answer a request to the region's host for namespaces/PROJECT/services."""
        _, collection, *rest = path.removeprefix(PREFIX).split("/")
        if collection == "revisions" and rest and rest[0] in self.revisions:
            return Reply(self.revisions[rest[0]])
        if collection != "services":
            return Reply({"items": []})
        if request.method in {"POST", "PUT"}:
            return Reply(self._written(body, region))
        here = [name for name, service in self.services.items() if service["metadata"]["labels"][_REGION] == region]
        if not rest:
            items = [self.services[name] for name in here]
            return Reply({"apiVersion": "serving.knative.dev/v1", "items": items})
        if rest[0] not in here:
            return Reply({"error": {"code": 404, "status": "NOT_FOUND", "message": "not found"}}, 404)
        return Reply(self.services.pop(rest[0]) if request.method == "DELETE" else self.services[rest[0]])

    def front(
        self, name: str, inside: Callable[[Request], Reply], callers: Callable[[str], set[str]]
    ) -> Callable[[Request], Reply]:
        """Return what answers a stranger who calls the service from the Internet at an address of run.app.

        The ingress and the invoker check are the service's, so they hold for every revision and tag.
        """

        def answer(request: Request) -> Reply:
            annotations = self.services[name]["metadata"]["annotations"]
            if annotations.get(_INGRESS, "all") != "all":
                return Reply(b"Page not found", 404)
            if annotations.get(_IS_UNCHECKED, "").lower() != "true" and "allUsers" not in callers(name):
                return Reply(b"Your client does not have permission to get this URL", 403)
            return inside(request)

        return answer

    def takes_push(self, name: str, pushes: dict[str, Any], callers: set[str]) -> bool:
        """Return whether a push with this configuration comes to the service and is accepted there."""
        if name not in self.services:
            return False
        environ = {
            variable["name"]: variable.get("value", "")
            for variable in self.services[name]["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        token = pushes.get("oidcToken", {})
        return (
            pushes.get("pushEndpoint") == f"{environ['PUSH_AUDIENCE']}/pubsub/push"
            and token.get("audience") == environ["PUSH_AUDIENCE"]
            and token.get("serviceAccountEmail") == environ["PUSH_SERVICE_ACCOUNT"]
            and f"serviceAccount:{environ['PUSH_SERVICE_ACCOUNT']}" in callers
        )

    def _written(self, wanted: dict[str, Any], region: str) -> dict[str, Any]:
        name = wanted["metadata"]["name"]
        before = self.services.get(name)
        service = copy.deepcopy(wanted)
        generation = (before["metadata"]["generation"] if before else 0) + 1
        service["metadata"].setdefault("labels", {})[_REGION] = region
        service["metadata"] |= {"generation": generation, "resourceVersion": str(generation), "uid": name}
        revision = before["status"]["latestReadyRevisionName"] if before else ""
        if before is None or _template(before) != _template(service):
            revision = service["spec"]["template"]["metadata"].get("name") or f"{name}-{generation:05}-abc"
            self.revisions[revision] = {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Revision",
                "metadata": {"name": revision, "labels": {"serving.knative.dev/service": name}},
                "spec": copy.deepcopy(service["spec"]["template"]["spec"]),
                "status": {"conditions": _READY[:1]},
            }
        targets = service["spec"].get("traffic") or [{"latestRevision": True, "percent": 100}]
        service["spec"]["traffic"] = targets
        service["status"] = {
            "observedGeneration": generation,
            "conditions": _READY,
            "latestReadyRevisionName": revision,
            "latestCreatedRevisionName": revision,
            "url": f"https://{name}-x.a.run.app",
            "traffic": [self._served(name, target, revision) for target in targets],
        }
        self.services[name] = service
        return service

    def _served(self, name: str, target: dict[str, Any], latest: str) -> dict[str, Any]:
        served = {"revisionName": target.get("revisionName", latest), **target}
        if "tag" in target:
            served["url"] = self.address or f"https://{target['tag']}---{name}-x.a.run.app"
        return served


def _template(service: dict[str, Any]) -> Any:
    template = copy.deepcopy(service["spec"]["template"])
    annotations = template["metadata"].get("annotations", {})
    for noise in ("run.googleapis.com/client-name", "run.googleapis.com/client-version"):
        annotations.pop(noise, None)
    return template
