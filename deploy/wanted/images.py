"""The repository of the images, which only the build writes to."""

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
    writes = Grant(
        group=group,
        name=installation.repository,
        flags=(where,),
        on=repository,
        member=f"serviceAccount:{installation.account('build')}",
        role="roles/artifactregistry.writer",
    )
    return [repository, writes]
