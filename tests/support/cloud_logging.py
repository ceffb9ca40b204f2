"""Cloud Logging's entries.list and entries.write over HTTP: filter, sequence and pages as the real one has them.

It keeps the requests. Source: "Method: entries.list", "Method: entries.write" (Google Cloud Logging documentation).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.log_entries import entry_of
from tests.support.log_filter import compiled
from tests.support.serving import Reply, Request, serving_requests

MOST_ON_A_PAGE = 1_000
MOST_BYTES_OF_AN_ENTRY = 256 * 1024
_WRITE = "/v2/entries:write"
_PAGE_SIZE = 50
_FORBIDDEN = {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Permission denied"}}
_TOO_MANY = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded"}}
_TOO_LARGE = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Log entry is too large"}}


@dataclass
class CloudLogging:
    entries: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    refusals: int = 0
    """How many of the next requests exceed the quota."""
    is_forbidden: bool = False
    refuses_entries: bool = False
    """Whether the caller may read, but not write: he lacks roles/logging.logWriter."""
    url: str = ""

    @contextmanager
    def running(self) -> Iterator["CloudLogging"]:
        with serving_requests(self._answer) as self.url:
            yield self

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables by which a command, as gcloud, asks this one without credentials."""
        return {"CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": f"{self.url}/", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "1"}

    def take(self, output: str, *, service: str, project: str) -> None:
        """Add what a service printed, as Cloud Run does."""
        self.entries += [entry_of(line, service=service, project=project) for line in output.splitlines()]

    def _answer(self, request: Request) -> Reply:
        asked = {"path": request.path, **json.loads(request.body)}
        self.requests.append(asked)
        if self.is_forbidden or (self.refuses_entries and request.path.startswith(_WRITE)):
            return Reply(_FORBIDDEN, 403)
        if self.refusals:
            self.refusals -= 1
            return Reply(_TOO_MANY, 429)
        if request.path.startswith(_WRITE):
            return self._write(asked)
        matches = compiled(asked["filter"])
        found = [entry for entry in self.entries if "timestamp" in entry and matches(entry)]
        if asked.get("orderBy") == "timestamp asc":
            found.sort(key=lambda entry: str(entry["timestamp"]))
        start = int(asked.get("pageToken", 0))
        end = start + min(asked.get("pageSize", _PAGE_SIZE), MOST_ON_A_PAGE)
        more = {"nextPageToken": str(end)} if end < len(found) else {}
        return Reply({"entries": [_as_answered(entry) for entry in found[start:end]], **more})

    def _write(self, asked: dict[str, Any]) -> Reply:
        """Take the entries, or none where one is too large."""
        now = datetime.now(UTC).isoformat()
        given = [{"timestamp": now, "logName": asked.get("logName"), **entry} for entry in asked["entries"]]
        if any(len(json.dumps(entry)) > MOST_BYTES_OF_AN_ENTRY for entry in given):
            return Reply(_TOO_LARGE, 400)
        self.entries += given
        return Reply({})


def _as_answered(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry with its time as Google writes it, and with an id."""
    moment = datetime.fromisoformat(entry["timestamp"]).astimezone(UTC)
    return {"insertId": str(id(entry)), **entry, "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"}
