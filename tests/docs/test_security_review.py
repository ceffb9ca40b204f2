"""The security review's table of identities names every role that deploy grants, and no other one."""

import re

from deploy.installation import Installation
from deploy.resources import Grant
from deploy.wanted import GROUPS
from relay.local.services import ROOT

PAGE = (ROOT / "docs" / "security-review.md").read_text()
ROW = re.compile(r"(?m)^\| ([^|]*) \| `(roles/[\w.]+)` \| ([^|]+) \|")
WITH_EVERYTHING = Installation.from_environ(
    {
        "GOOGLE_CLOUD_PROJECT": "my-project",
        "PROJECT_NUMBER": "1",
        "ONESTOCK_API_URL": "https://api.example.com",
        "DESTINATIONS_SECRET": "onestock-destinations",
        "WATCHDOG_SCHEDULE": "0 * * * *",
        "BIGQUERY_DATASET": "onestock_archive",
        "ARMOR_POLICY": "onestock-receiver",
    }
)
# Made with the worker, not by `apply`.
ON_THE_WORKER = ("onestock-push", "roles/run.invoker")


def told() -> list[tuple[str, str, str]]:
    """Return identity, role and where, row by row; an identity stands in its first row only."""
    rows, identity = [], ""
    for match in ROW.finditer(PAGE.replace("| | ", "|  | ")):
        identity = match[1].strip(" `") or identity
        rows.append((identity, match[2], match[3]))
    return rows


def granted() -> list[tuple[str, Grant]]:
    """Return everything that `apply` grants, with the identity's name."""
    items = [item for group in GROUPS.values() for item in group(WITH_EVERYTHING)]
    grants = [item for item in items if isinstance(item, Grant)]
    return [(name_of(grant.member), grant) for grant in grants]


def name_of(member: str) -> str:
    if member == WITH_EVERYTHING.member("pubsub"):
        return "Pub/Sub's agent"
    return member.removeprefix("serviceAccount:").partition("@")[0]


def test_every_role_is_named_and_no_other_one() -> None:
    assert {(identity, role) for identity, role, _ in told()} == {
        *((identity, grant.role) for identity, grant in granted()),
        ON_THE_WORKER,
    }


def test_what_holds_in_the_whole_project_says_so() -> None:
    whole = {(who, grant.role) for who, grant in granted() if grant.group == ("projects",) and not grant.condition}

    assert {(identity, role) for identity, role, where in told() if where == "the project"} == whole
    assert {identity for identity, _ in whole} == {"onestock-build"}


def test_the_archive_is_one_dataset_and_not_another_one_whose_name_begins_alike() -> None:
    [condition] = [grant.condition for _, grant in granted() if grant.role == "roles/bigquery.dataEditor"]

    [whole] = re.findall(r'resource\.name=="([^"]+)"', condition)
    [below] = re.findall(r'resource\.name\.startsWith\("([^"]+)"\)', condition)
    dataset = "projects/my-project/datasets/onestock_archive"
    assert (whole, below) == (dataset, f"{dataset}/tables/")
