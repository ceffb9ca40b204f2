"""What Cloud Run makes of a line that a service prints: a Cloud Logging entry.

Source: "Structured logging" (Google Cloud Logging documentation), the table of special fields; "Logging and viewing
logs in Cloud Run" for the log's name and the resource.
"""

import json
from typing import Any

from google.cloud.logging_v2.types import LogEntry
from google.protobuf.json_format import ParseDict, ParseError

Entry = dict[str, Any]

_SPECIAL_FIELDS = {
    "severity": "severity",
    "time": "timestamp",
    "httpRequest": "httpRequest",
    "logging.googleapis.com/insertId": "insertId",
    "logging.googleapis.com/labels": "labels",
    "logging.googleapis.com/operation": "operation",
    "logging.googleapis.com/sourceLocation": "sourceLocation",
    "logging.googleapis.com/spanId": "spanId",
    "logging.googleapis.com/trace": "trace",
    "logging.googleapis.com/trace_sampled": "traceSampled",
}


PUBLISHED_EVENT = "ab" * 32
PUBLISHED_TRACE = "0af7651916cd43dd8448eb211c80319c"
PUBLISHED: Entry = {
    "logName": "projects/test-relay/logs/run.googleapis.com%2Fstdout",
    "resource": {"type": "cloud_run_revision"},
    "timestamp": "2026-01-01T00:00:01.123456Z",
    "severity": "INFO",
    "trace": f"projects/test-relay/traces/{PUBLISHED_TRACE}",
    "labels": {"event_id": PUBLISHED_EVENT, "order_id": "T-1"},
    "jsonPayload": {"line": "webhook", "outcome": "published", "message_id": "m1", "status": 202},
}
"""The line of one webhook that became an event."""


def entry_of(line: str, *, service: str, project: str) -> Entry:
    """Return the entry, as `gcloud logging read --format=json` prints it.

    Raises ParseError if a special field holds what a LogEntry cannot: Cloud Logging would leave it in the payload.
    """
    labels = {"service_name": service, "revision_name": f"{service}-00001-abc", "configuration_name": service}
    entry: Entry = {
        "logName": f"projects/{project}/logs/run.googleapis.com%2Fstdout",
        "resource": {
            "type": "cloud_run_revision",
            "labels": {**labels, "location": "europe-west1", "project_id": project},
        },
        **_content_of(line),
    }
    try:
        ParseDict(entry, LogEntry.pb(LogEntry()))
    except ParseError as error:
        raise ParseError(f"{error} in {line}") from error
    return entry


def _content_of(line: str) -> Entry:
    try:
        fields = json.loads(line)
    except ValueError:
        return {"textPayload": line}
    if not isinstance(fields, dict):
        return {"textPayload": line}
    moved = {target: fields.pop(name) for name, target in _SPECIAL_FIELDS.items() if name in fields}
    # A message that stands alone is the text of the entry.
    return (
        {**moved, "textPayload": fields["message"]}
        if fields.keys() == {"message"}
        else {**moved, "jsonPayload": fields}
    )
