"""`relay doctor` where Google's answers say little: nothing is reached, or only the time comes back."""

import io
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, override

import pytest
import requests
from requests.adapters import BaseAdapter

from relay.doctor.cloud import GOOGLE, Cloud
from relay.doctor.examination import examine
from relay.doctor.findings import Verdict
from relay.settings.commands import LOCAL_RUN_URL
from relay.settings.doctor import DoctorSettings

PLACE = {"GOOGLE_CLOUD_PROJECT": "test-relay"}
Answer = Callable[[requests.PreparedRequest], requests.Response]


class Answering(BaseAdapter):
    """A network on which every request is answered so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    @override
    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        return self._answer(request)

    @override
    def close(self) -> None:
        pass


def answering(answer: Answer) -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Answering(answer))
    return session


def test_google_out_of_reach_is_one_finding_and_each_api_is_asked_once() -> None:
    asked: list[str] = []

    def fail(request: requests.PreparedRequest) -> requests.Response:
        asked.append(str(request.url).split("/")[2])
        raise requests.ConnectionError

    findings = examine(Cloud(answering(fail), GOOGLE), DoctorSettings.from_environ(PLACE), PLACE)

    [told] = [finding for finding in findings if "does not answer" in finding.text]
    assert (told.check, told.verdict) == ("Pub/Sub", Verdict.BAD)
    assert "gcloud auth application-default login" in told.text
    assert len(asked) == len(set(asked)) > 1


def test_a_local_run_without_its_emulator_is_one_finding_that_says_what_to_do() -> None:
    def fail(_: requests.PreparedRequest) -> requests.Response:
        raise requests.ConnectionError

    local = {**PLACE, "PUBSUB_EMULATOR_HOST": "127.0.0.1:9", LOCAL_RUN_URL: "http://127.0.0.1:9"}
    cloud = Cloud(answering(fail), {"pubsub": "http://127.0.0.1:9/v1"})

    findings = examine(cloud, DoctorSettings.from_environ(local), local)

    [told] = [finding for finding in findings if "the emulator" in finding.text or "topic" in finding.check]
    assert told.text.startswith("the emulator does not answer; its log: .relay/logs/emulator.log")
    assert told.commands == ("make run",)


@pytest.mark.parametrize(
    ("our_clock", "text"),
    [
        (100.0, "agree with this machine's to the second"),
        (100.99, "agree with this machine's to the second"),
        (105.0, "127.0.0.1:1 is 4 s behind this machine"),
        (97.0, "127.0.0.1:1 is 3 s ahead of this machine"),
    ],
)
def test_the_whole_seconds_of_a_date_are_no_difference_of_clocks(our_clock: float, text: str) -> None:
    def dated(_: requests.PreparedRequest) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.raw = 404, io.BytesIO(b"{}")
        answer.headers["Date"] = formatdate(100, usegmt=True)
        return answer

    cloud = Cloud(answering(dated), {"pubsub": "http://127.0.0.1:1/v1"}, now=lambda: our_clock)
    findings = examine(cloud, DoctorSettings.from_environ(PLACE), PLACE)

    assert [finding.text for finding in findings if finding.check == "clocks"] == [text]
