"""What `Gcloud` does about a refusal: wait where Google may not know yet what was made, give up in bounded time."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from deploy import keys
from deploy.cli import with_somebody_to_tell
from deploy.errors import DeployError
from deploy.gcloud import Command, Gcloud, failure
from deploy.installation import Installation

MADE: Command = ("pubsub", "topics", "create", "events")
SECRET = {"payload": {"data": "b2xkLWtleSxvbGRlci1rZXk="}}
# What gcloud prints for a refusal, by the command that was refused (seen with gcloud 528 against 400, 403 and 404).
REFUSALS = {
    "a metric": 'HTTP 404: Cannot find metric(s) that match type = "logging.googleapis.com/user/x".',
    "a metric, in other words": "HTTP 400: The metric referenced by the provided filter is unknown.",
    "an account": "ERROR: (gcloud.projects.add-iam-policy-binding) INVALID_ARGUMENT: Service account x does not exist.",
    "a secret": "ERROR: (gcloud.secrets.add-iam-policy-binding) Status code: 404. Secret not found.",
    "an API": "ERROR: (gcloud.iam.service-accounts.create) [x] does not have permission to access projects instance",
    "no status": "ERROR: Failed to create subscription [projects/p/subscriptions/s]: Resource not found.",
}


class Google(Gcloud):
    """gcloud that answers with what a test gives it."""

    def __init__(self, *answers: str, is_fresh: bool = False) -> None:
        self.slept: list[float] = []
        self.stdin: list[str] = []
        super().__init__("my-project", is_fresh=is_fresh, sleep=self.slept.append)
        self._answers: Iterator[str] = iter(answers)

    def _run(self, command: Command, *, stdin: str) -> str:
        self.stdin.append(stdin)
        answer = next(self._answers)
        if answer.startswith("{"):
            return answer
        raise failure(command, answer, 1)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=list(REFUSALS))
def test_what_was_just_made_may_be_unknown_for_a_while_in_whatever_words(refusal: str) -> None:
    google = Google("{}", refusal, refusal, "{}")
    google.change(MADE)

    google.change(("x", "y"))

    assert google.slept == [1, 2]


@pytest.mark.parametrize("patience_seconds", [180, 600])
def test_the_wait_is_bounded(patience_seconds: float) -> None:
    refusal = REFUSALS["a metric"]
    google = Google("{}", *[refusal] * 100)
    google.change(MADE)

    with pytest.raises(DeployError, match=r"Cannot find metric"):
        google.change(("x", "y"), patience_seconds=patience_seconds)

    assert patience_seconds <= sum(google.slept) <= patience_seconds + 15


def test_nothing_is_tried_again_before_something_was_made() -> None:
    google = Google(REFUSALS["an API"])

    with pytest.raises(DeployError, match=r"does not have permission"):
        google.read(("x", "y"))

    assert google.slept == []


def test_in_a_build_the_accounts_own_grants_may_be_that_young() -> None:
    google = Google(REFUSALS["an API"], "{}", is_fresh=True)

    google.read(("x", "y"))

    assert google.slept == [1]


@pytest.mark.parametrize(
    "final", ["ERROR: (gcloud.x) ALREADY_EXISTS: there", "ERROR: (gcloud.x) UNAUTHENTICATED: who?"]
)
def test_what_waiting_does_not_change_is_an_error_at_once(final: str) -> None:
    google = Google("{}", final)
    google.change(MADE)

    with pytest.raises(DeployError):
        google.change(("x", "y"))

    assert google.slept == []


@pytest.mark.parametrize(
    ("given", "finish", "expected"),
    [("new,old-key", False, "new,old-key"), (None, True, "old-key"), ("ignored", True, "old-key")],
)
def test_keys_are_added_as_they_were_brought_or_the_newest_alone(
    given: str | None,
    finish: bool,  # noqa: FBT001 - a column
    expected: str,
) -> None:
    google = Google(*([json.dumps(SECRET)] if finish else []), "{}")

    keys.add_version(google, "onestock-hash-keys", given=given, finish=finish)

    assert google.stdin[-1] == expected


@pytest.mark.parametrize(("typed", "warns"), [("on-call@example.com\n", False), ("\n", True), ("", True)])
def test_an_installation_without_anybody_to_tell_is_warned_about(typed: str, warns: bool) -> None:  # noqa: FBT001 - a column
    installation = Installation.from_environ({"GOOGLE_CLOUD_PROJECT": "my-project", "PROJECT_NUMBER": "1"})

    with CliRunner().isolation(input=typed) as (_, errors, _both):
        chosen = with_somebody_to_tell(installation)
        said = errors.getvalue().decode() if errors else ""

    assert chosen.alert_email == typed.strip()
    assert ("NOBODY IS TOLD" in said) is warns


def test_a_channel_that_is_there_already_can_be_told() -> None:
    installation = Installation.from_environ({"GOOGLE_CLOUD_PROJECT": "my-project", "PROJECT_NUMBER": "1"})
    channel = "projects/my-project/notificationChannels/42"

    with CliRunner().isolation(input=f"{channel}\n"):
        chosen = with_somebody_to_tell(installation)

    assert chosen.chosen() == {"ALERT_CHANNELS": channel}


def test_words_that_gcloud_does_not_know_are_an_error_at_once() -> None:
    google = Gcloud("my-project", is_fresh=True, sleep=lambda _: pytest.fail("waited"))

    with pytest.raises(DeployError, match=r"Invalid choice"):
        google.read(("no", "such", "command"))
