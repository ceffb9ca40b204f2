"""What Google refuses: each rule as its documentation or a public thread tells it, in the words seen there."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.serving import Reply

_STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
}
# Texts for a log-based metric that Cloud Monitoring does not know yet (terraform-provider-google #11102, #10325).
_UNKNOWN_METRIC = (
    (404, 'Cannot find metric(s) that match type = "logging.googleapis.com/user/onestock_webhooks".'),
    (404, "Cannot find metric that matches type. If a metric was created recently, it could take up to 10 minutes."),
    (400, "The metric referenced by the provided filter is unknown. Check the metric name and labels."),
)
_USER_METRIC = "logging.googleapis.com/user/"


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


class Known(Protocol):
    """What exists in the project."""

    project: str
    held: dict[tuple[str, str], Any]
    agents: set[str]


def refused(status: int, message: str, name: str = "") -> Reply:
    """Return Google's answer to what it does not do."""
    return Reply({"error": {"code": status, "status": name or _STATUSES[status], "message": message}}, status)


@dataclass
class Refusals:
    """The rules. `is_slow`: what was just made is not known to the first request that needs it."""

    cloud: Known
    is_slow: bool = False
    refuses_public: bool = True
    """An organisation's policies: no allUsers, no data outside the region."""
    seen: set[tuple[str, str, str]] = field(default_factory=set)
    _unknown_metric: Iterator[tuple[int, str]] = field(default_factory=lambda: itertools.cycle(_UNKNOWN_METRIC))
    _propagating: Iterator[int] = field(default_factory=lambda: itertools.cycle((403, 404)))

    def of(self, asked: Call) -> Reply | None:
        """Return the refusal of a request, None if it is done."""
        rules = (
            *(self._of_an_api_that_is_off, self._of_what_is_not_known_yet, self._of_members),
            *(self._of_places, self._of_metrics, self._of_builders),
        )
        return next((reply for rule in rules if (reply := rule(asked)) is not None), None)

    def _of_an_api_that_is_off(self, asked: Call) -> Reply | None:
        # Everybody's gcloud may always look at projects and enable APIs.
        service = {"upload": "storage"}.get(asked.api, asked.api) + ".googleapis.com"
        if asked.api in {"serviceusage", "cloudresourcemanager"} or self._is_enabled(service):
            return None
        return refused(403, f"{service} has not been used in project {self.cloud.project} before or it is disabled.")

    def _is_enabled(self, service: str) -> bool:
        return ("serviceusage", f"projects/{self.cloud.project}/services/{service}") in self.cloud.held

    def _of_what_is_not_known_yet(self, asked: Call) -> Reply | None:
        key = (asked.api, asked.method, asked.path)
        needs_nothing = asked.path.endswith(":batchEnable") or asked.path.endswith("entries:list")
        reads = asked.method == "GET" and asked.api not in {"monitoring", "run"}
        if not self.is_slow or needs_nothing or reads or key in self.seen or ":getIamPolicy" in asked.path:
            return None
        self.seen.add(key)
        if asked.path.endswith("alertPolicies") and asked.method == "POST":
            return refused(*next(self._unknown_metric))
        if asked.path.endswith((":setIamPolicy", "/iam")):
            return refused(400, "Service account onestock-build does not exist.")
        return refused(next(self._propagating), "Permission denied on resource, or it may not exist.")

    def _of_members(self, asked: Call) -> Reply | None:
        if not asked.path.endswith((":setIamPolicy", "/iam")):
            return None
        policy = asked.body.get("policy", asked.body)
        members = {member for binding in policy.get("bindings", []) for member in binding["members"]}
        if self.refuses_public and members & {"allUsers", "allAuthenticatedUsers"}:
            # As in firebase-tools #2238.
            text = "One or more users named in the policy do not belong to a permitted customer."
            return refused(400, text, "FAILED_PRECONDITION")
        missing = sorted(member for member in members if not self._exists(member))
        return refused(400, f"Service account {missing[0]} does not exist.") if missing else None

    def _exists(self, member: str) -> bool:
        kind, _, email = member.partition(":")
        if kind != "serviceAccount":
            return True
        account = f"projects/{self.cloud.project}/serviceAccounts/{email}"
        return email in self.cloud.agents or ("iam", account) in self.cloud.held

    def _of_places(self, asked: Call) -> Reply | None:
        if not self.refuses_public or asked.method != "POST":
            return None
        is_anywhere = asked.path.endswith("/secrets") and "automatic" in asked.body.get("replication", {})
        is_abroad = asked.api == "storage" and asked.path == "b" and asked.body.get("location", "US") == "US"
        if is_anywhere or is_abroad:
            return refused(400, "Constraint constraints/gcp.resourceLocations violated.")
        return None

    def _of_metrics(self, asked: Call) -> Reply | None:
        if "/alertPolicies" not in asked.path or asked.method not in {"POST", "PATCH"}:
            return None
        metrics = {path.rpartition("/")[2] for api, path in self.cloud.held if api == "logging"}
        named = {part.split('"')[0] for part in json.dumps(asked.body).replace("\\", "").split(_USER_METRIC)[1:]}
        channels = {path for api, path in self.cloud.held if api == "monitoring" and "/notificationChannels/" in path}
        if named - metrics:
            return refused(*_UNKNOWN_METRIC[0])
        if set(asked.body.get("notificationChannels", ())) - channels:
            return refused(404, "Channel not found.")
        return None

    def _of_builders(self, asked: Call) -> Reply | None:
        if not asked.path.endswith("/builds"):
            return None
        account = asked.body["serviceAccount"].replace("${PROJECT_ID}", self.cloud.project)
        if ("iam", account) in self.cloud.held:
            return None
        return refused(400, f"could not resolve source: unknown service account {account}")
