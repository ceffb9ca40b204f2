"""The gcloud that the tests start quickly is gcloud: it asks Google, prints and ends as one that starts by itself."""

import re

import pytest

from tests.deployment.conftest import Deployer
from tests.support.gcloud import warmth

COMMANDS = {
    "reads": (("pubsub", "topics", "list", "--format=json"), ""),
    "takes a secret from stdin": (("secrets", "versions", "add", "onestock-hash-keys", "--data-file=-"), "a-key"),
    "is refused": (("run", "services", "describe", "missing", "--region=europe-west1"), ""),
    "is not known": (("pubsub", "topics", "make", "events"), ""),
}


@pytest.mark.parametrize(("command", "stdin"), COMMANDS.values(), ids=list(COMMANDS))
def test_it_does_what_a_gcloud_that_starts_by_itself_does(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], stdin: str
) -> None:
    def ended() -> tuple[int, str, str, list[str]]:
        before = len(deployer.cloud.calls)
        ran = deployer.gcloud(*command, stdin=stdin)
        said = re.sub(r"version \[\d+\]", "version [N]", ran.stderr)
        return ran.returncode, ran.stdout, said, [str(call) for call in deployer.cloud.calls[before:]]

    deployer.did("apply", "secrets")
    warm = ended()
    for name in warmth():
        monkeypatch.delenv(name)
    alone = ended()

    assert warm == alone
