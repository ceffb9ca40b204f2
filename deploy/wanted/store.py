"""The idempotency store: a Firestore database of the relay's own, which forgets by itself."""

from deploy.installation import Installation
from deploy.resources import Grant, Item, Resource

COLLECTION = "onestock_relay_runs"
# Values that rise with time: in an index they would all go to the same server, and Firestore would take no more than
# 500 writes a second into the collection. The relay reads documents by their ids alone and needs no index. Each of the
# ended runs holds its generation and its time of receipt; the exemption of an array covers what its elements hold.
RISING_FIELDS = ("expires_at", "ended_runs", "moment")


def items(installation: Installation) -> list[Item]:
    """Return the declared items."""
    name = f"projects/{installation.project}/databases/{installation.firestore_database}"
    flag = f"--database={installation.firestore_database}"
    database = Resource(
        what=f"Firestore database {installation.firestore_database}",
        api="firestore.googleapis.com",
        listed_by=("firestore", "databases", "list"),
        identity={"name": installation.firestore_database},
        settings={"type": "FIRESTORE_NATIVE"},
        create=(
            *("firestore", "databases", "create", flag),
            *(f"--location={installation.region}", "--type=firestore-native"),
        ),
        delete=("firestore", "databases", "delete", flag),
    )
    ttl = ("firestore", "fields", "ttls")
    expiry = Resource(
        what=f"TTL policy on {COLLECTION}.expires_at",
        api=database.api,
        inside=database,
        listed_by=(*ttl, "list", flag, f"--collection-group={COLLECTION}"),
        identity={"name": "expires_at"},
        # Without --async gcloud waits until every document has been looked at.
        create=(*ttl, "update", "expires_at", flag, f"--collection-group={COLLECTION}", "--enable-ttl", "--async"),
    )
    access = Grant(
        group=("projects",),
        name=installation.project,
        member=installation.member("worker"),
        role="roles/datastore.user",
        condition=f'resource.name=="{name}"',
    )
    exemptions = [_without_index(field, database, flag) for field in RISING_FIELDS]
    return [database, expiry, *exemptions, access]


def _without_index(field: str, database: Resource, flag: str) -> Resource:
    fields = ("firestore", "indexes", "fields")
    group = f"--collection-group={COLLECTION}"
    # Without --async gcloud waits until every document has been looked at.
    command = (*fields, "update", field, flag, group, "--disable-indexes", "--async")
    return Resource(
        what=f"no index on {COLLECTION}.{field}",
        api=database.api,
        inside=database,
        listed_by=(*fields, "list", flag, group),
        identity={"name": field},
        settings={"indexConfig": {"indexes": []}},
        create=command,
        update=command,
    )
