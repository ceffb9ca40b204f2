"""The Health screen: what the doctor finds, asked in a thread, and the switch of the pushes."""

import threading
from datetime import UTC, datetime

import pytest
from google.pubsub_v1 import PushConfig

from relay.console.asking import Question
from relay.console.health import Health, lost_from
from relay.doctor.findings import Finding, bad, good, unknown
from relay.errors import PubSubError
from relay.pubsub.pausing import Pause, PushState
from tests.console.conftest import Browser, console_on, opened
from tests.support.waiting import wait_until

NOWHERE = {"GOOGLE_CLOUD_PROJECT": "test-relay", "PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}
PAUSED = PushState(
    endpoint="",
    retention_seconds=604_800,
    pause=Pause(since=datetime(2026, 1, 31, 9, 30, tzinfo=UTC), reason="the shop <moves>", push_config=PushConfig()),
)


def health_of(browser: Browser) -> Health:
    health: Health = browser.app.extensions["relay.health"]
    return health


@pytest.fixture
def browser() -> Browser:
    return opened(console_on())


def test_the_doctors_findings_come_with_the_commands_that_mend_them() -> None:
    browser = opened(console_on(environ=NOWHERE))

    first = browser.get("/health").text
    wait_until(lambda: "Examined at" in browser.get("/health/findings").text, within=60)
    page = browser.get("/health").text

    assert "Examining since" in first
    assert '<h3 class="bad">Bad</h3>' in page
    assert "does not answer" in page
    assert "relay doctor --json" in page


def test_findings_are_grouped_with_the_bad_ones_first(browser: Browser) -> None:
    found = [good("topic", "is there"), unknown("alerts", "not readable"), bad("pause", "paused", "relay resume")]
    health_of(browser).examination = Question(lambda: found)
    health_of(browser).examination.ask(wait_seconds=10)

    page = browser.get("/health").text

    assert "1 bad, 1 unknown, 1 good" in page
    assert page.index(">Bad<") < page.index(">Unknown<") < page.index(">Good<")
    assert "relay resume</pre>" in page


def test_a_page_does_not_wait_for_an_examination_and_shows_the_last_one_meanwhile(browser: Browser) -> None:
    gate = threading.Event()
    finished = threading.Event()

    def examine() -> list[Finding]:
        if finished.is_set():
            gate.wait(30)
        finished.set()
        return [good("topic", "is there")]

    health_of(browser).examination = Question(examine)
    health_of(browser).examination.ask(wait_seconds=10)

    answer = browser.post("/health/examine")
    page = browser.get("/health").text
    gate.set()

    assert (answer.status_code, answer.headers["Location"]) == (303, "/health")
    assert "Examining since" in page
    assert "is there" in page
    assert 'hx-get="/health/findings"' in page
    assert '<noscript><meta http-equiv="refresh"' in page


def test_the_button_comes_with_the_findings_so_that_it_is_enabled_again_at_their_end(browser: Browser) -> None:
    gate = threading.Event()
    health_of(browser).examination = Question(lambda: [good("topic", "is there")] if gate.wait(30) else [])
    health_of(browser).examination.ask()

    during = browser.get("/health/findings").text
    gate.set()
    health_of(browser).examination.ask(wait_seconds=10)
    after = browser.get("/health/findings").text

    assert "<button disabled>Examine </button>" in during
    assert "<button>Examine again</button>" in after


def test_every_page_tells_that_the_pushes_are_paused(browser: Browser) -> None:
    health_of(browser).pushes = Question(lambda: PAUSED)
    health_of(browser).pushes.ask(wait_seconds=10)

    for path in ("/", "/health", "/webhooks"):
        page = browser.get(path).text
        assert "Pushes to the worker are paused since 2026-01-31 09:30:00 UTC: the shop &lt;moves&gt;" in page
    assert "Resume before 2026-02-07 09:30:00 UTC" in browser.get("/health").text


def test_the_banner_is_asked_for_once_a_minute_and_no_page_waits_for_it(browser: Browser) -> None:
    asked: list[int] = []
    gate = threading.Event()

    def state() -> PushState:
        asked.append(1)
        gate.wait(30)
        return PAUSED

    health_of(browser).pushes = Question(state)

    pages = [browser.get("/").text for _ in range(3)]
    gate.set()

    assert ["paused since" in page for page in pages] == [False] * 3
    assert len(asked) == 1


def test_where_the_pause_cannot_be_read_the_page_says_why_and_offers_nothing(browser: Browser) -> None:
    def refused() -> PushState:
        raise PubSubError("projects/test-relay/subscriptions/s: PermissionDenied: 403")

    health_of(browser).pushes = Question(refused)

    page = browser.get("/health").text

    assert "Whether the pushes are paused is not known" in page
    assert "PermissionDenied: 403" in page
    assert "Pause the pushes" not in page


def test_a_subscription_that_pushes_offers_the_pause_unless_the_console_is_read_only() -> None:
    pushing = PushState(endpoint="https://worker.example/pubsub/push", retention_seconds=604_800, pause=None)
    offered = []
    for allows_actions in (True, False):
        browser = opened(console_on(allows_actions=allows_actions))
        health_of(browser).pushes = Question(lambda: pushing)
        offered.append("Pause the pushes" in browser.get("/health").text)

    assert offered == [True, False]
    assert lost_from(pushing) is None


@pytest.mark.parametrize("path", ["/health/pause", "/health/resume"])
def test_a_read_only_console_refuses_to_switch_the_pushes(path: str) -> None:
    browser = opened(console_on(environ=NOWHERE, allows_actions=False))

    assert browser.post(path, {"reason": "test"}).status_code == 403


def test_without_a_project_the_page_says_what_to_set(browser: Browser) -> None:
    page = browser.get("/health").text

    assert "GOOGLE_CLOUD_PROJECT" in page
