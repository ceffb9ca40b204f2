"""Optional: every event as a row in BigQuery, written by Pub/Sub itself."""

import json

from deploy.gcloud import API
from deploy.installation import Installation
from deploy.resources import Grant, Item, Resource
from deploy.topology import DECLARED
from deploy.wanted.pubsub import days, kept, subscription

_TABLE = "events"
# Source: "BigQuery subscriptions" (Pub/Sub), properties that are written with --write-metadata.
_COLUMNS = {
    "subscription_name": "STRING",
    "message_id": "STRING",
    "publish_time": "TIMESTAMP",
    "data": "BYTES",
    "attributes": "STRING",
}


def items(installation: Installation) -> list[Item]:
    """Return the declared items; none where no dataset is named."""
    dataset = installation.bigquery_dataset
    if not dataset:
        return []
    project = installation.project
    whole = f"projects/{project}/datasets/{dataset}"
    tables = f"bigquery/v2/{whole}/tables"
    content = {
        "tableReference": {"projectId": project, "datasetId": dataset, "tableId": _TABLE},
        "schema": {"fields": [{"name": name, "type": type_} for name, type_ in _COLUMNS.items()]},
    }
    table = Resource(
        what=f"BigQuery table {dataset}.{_TABLE}",
        api="bigquery.googleapis.com",
        listed_by=(API, "GET", "bigquery", f"{tables}?maxResults=1000"),
        identity={"id": f"{project}:{dataset}.{_TABLE}"},
        create=(API, "POST", "bigquery", tables),
        stdin=json.dumps(content),
    )
    writes = Grant(
        group=("projects",),
        name=installation.project,
        member=installation.member("pubsub"),
        role="roles/bigquery.dataEditor",
        condition=f'resource.name=="{whole}"||resource.name.startsWith("{whole}/tables/")',
        agent_of="pubsub.googleapis.com",
    )
    where = f"{installation.project}.{dataset}.{_TABLE}"
    archive = subscription(
        installation,
        f"{installation.pubsub_topic}-archive",
        installation.pubsub_topic,
        {
            "bigqueryConfig": (
                {"table": where, "writeMetadata": True},
                (f"--bigquery-table={where}", "--write-metadata"),
            ),
            **kept(days(DECLARED["subscription"])),
        },
    )
    return [table, writes, archive]
