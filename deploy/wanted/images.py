"""The bucket of the sources that a build reads, and the repository of the images that it writes; both in the region."""

from deploy.installation import Installation
from deploy.resources import Grant, Item, Resource

_WHAT = "Images of the OneStock relay; a tag never moves."


def items(installation: Installation) -> list[Item]:
    """Return the declared items."""
    group = ("artifacts", "repositories")
    where = f"--location={installation.region}"
    flags = (f"--description={_WHAT}", "--immutable-tags")
    repository = Resource(
        what=f"Artifact Registry repository {installation.repository}",
        api="artifactregistry.googleapis.com",
        listed_by=(*group, "list", where),
        identity={"name": installation.repository},
        settings={"format": "DOCKER", "description": _WHAT, "dockerConfig": {"immutableTags": True}},
        create=(*group, "create", installation.repository, where, "--repository-format=docker", *flags),
        update=(*group, "update", installation.repository, where, *flags),
        delete=(*group, "delete", installation.repository, where),
    )
    writes = Grant.on_resource(repository, installation.member("build"), "roles/artifactregistry.writer")
    return [*_sources(installation), repository, writes]


def _sources(installation: Installation) -> list[Item]:
    """Return the bucket. The one that gcloud would make lies in the United States and may be read by name only."""
    group, url = ("storage", "buckets"), f"gs://{installation.bucket}"
    bucket = Resource(
        what=f"bucket {installation.bucket}",
        api="storage.googleapis.com",
        listed_by=(*group, "list"),
        identity={"name": installation.bucket},
        settings={"uniform_bucket_level_access": True, "public_access_prevention": "enforced"},
        create=(
            *(*group, "create", url, f"--location={installation.region}"),
            *("--uniform-bucket-level-access", "--public-access-prevention"),
        ),
        update=(*group, "update", url, "--uniform-bucket-level-access", "--public-access-prevention"),
        delete=("storage", "rm", "--recursive", url),
    )
    builder = installation.member("build")
    reads = Grant(group=group, name=url, on=bucket, member=builder, role="roles/storage.objectViewer")
    return [bucket, reads]
