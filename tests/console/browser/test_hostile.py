"""What others can send to the console, or write into what it reads: refused and logged, or shown as text."""

import json
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.support.browser import Visitor, is_wider_than_the_screen
from tests.support.invented_lines import InventedEvent, invented_events
from tests.support.running_console import RunningConsole, running_console
from tests.support.serving import Reply, serving_requests
from tests.support.waiting import wait_until

SCRIPT = '<script>itRan = true</script><img src=x onerror="itRan = true">'
HUGE = 10_000_000
LONG = "A" * 300
STRANGE_FIELDS: dict[str, Any] = {
    "handlers": None,
    "latency_ms": "much",
    "status": float("nan"),
    "delivery_attempt": 10**400,
    "generation": {"a": 1},
    "reason": {"b": 2},
    "content": [[[]]],
}
NO_LINES = [
    "Traceback (most recent call last):",
    '{"half": ',
    "3",
    "null",
    '"text"',
    "[" * 100_000,
    '{"a":' * 100_000,
    "\x00\x1b[31m\udcff",
    '{"line": "webhook", "time": 5}',
    '{"line": "webhook", "time": "yesterday"}',
]


def written(event: InventedEvent, **changes: Any) -> list[str]:
    """Return the lines of an event, each with these fields in place of its own."""
    return [json.dumps(line | changes) for line in event.lines()]


def with_label(line: dict[str, Any], **labels: Any) -> str:
    """Return a line with these labels."""
    name = "logging.googleapis.com/labels"
    return json.dumps(line | {name: line[name] | labels})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "services.log"


@pytest.fixture(scope="module")
def console(file: Path) -> Iterator[RunningConsole]:
    """Run the console on the lines of a dozen events, some of which are not well-meant, and on much that is no line."""
    *fine, huge, scripted, long, strange, misnamed = invented_events(13)
    lines = [line for event in fine for line in written(event)]
    lines += NO_LINES
    items = [{"order_id": huge.order_id, "sku": f"SKU-{number}"} for number in range(HUGE // 50)]
    lines += written(huge, content=json.dumps({"order_id": huge.order_id, "new_state": "huge", "items": items}))
    run = {"name": LONG, "outcome": "quarantined", "reason": LONG}
    states = json.dumps({"order_id": LONG, "old_state": LONG, "new_state": LONG})
    changes = {"content": states, "handlers": [run], "outcome": "quarantined", "message": LONG}
    webhook, delivery = long.lines()
    lines += [with_label(webhook | {"content": states}, event_type=LONG, order_id=LONG)]
    lines += [with_label(delivery | changes, event_type=LONG, order_id=LONG)]
    lines += written(strange, **STRANGE_FIELDS)
    lines += [with_label(line, event_id=5, order_id=["a"], event_type=None) for line in misnamed.lines()]
    content = json.dumps({"order_id": SCRIPT, "old_state": SCRIPT, "new_state": SCRIPT})
    labels = {"event_type": SCRIPT, "order_id": SCRIPT}
    run = {"name": SCRIPT, "outcome": "failed", "reason": SCRIPT}
    lines += [with_label(line | {"content": content, "handlers": [run]}, **labels) for line in scripted.lines()]
    file.write_text("\n".join(lines) + "\n", errors="surrogateescape")
    with running_console([file], output=file.with_name("console.log"), options=["--allow-actions"]) as running:
        yield running


@pytest.fixture
def opened(console: RunningConsole, page: Page) -> Page:
    page.goto(console.url)
    page.wait_for_selector("tr[data-key]")
    return page


# --- Requests ---------------------------------------------------------------------------------------------------------

Ask = Callable[[RunningConsole], requests.Response]


def with_a_foreign_host(console: RunningConsole) -> requests.Response:
    return console.session().get(console.base, headers={"Host": "rebound.example"}, timeout=20)


def with_a_host_that_begins_like_ours(console: RunningConsole) -> requests.Response:
    host = f"{urlsplit(console.base).netloc}.rebound.example"
    return console.session().get(console.base, headers={"Host": host}, timeout=20)


def without_a_session(console: RunningConsole) -> requests.Response:
    return requests.get(console.base, timeout=20)


def with_a_wrong_token(console: RunningConsole) -> requests.Response:
    return requests.get(console.url[:-1] + "~", timeout=20)


def without_a_token(console: RunningConsole) -> requests.Response:
    return requests.get(console.url.partition("?")[0], timeout=20)


def with_an_invented_cookie(console: RunningConsole) -> requests.Response:
    cookies = dict.fromkeys(console.session().cookies.keys(), "x" * 43)
    return requests.get(console.base, cookies=cookies, timeout=20)


def changing_with_a_foreign_origin(console: RunningConsole) -> requests.Response:
    headers = {"Origin": "http://other.example", "Sec-Fetch-Site": "same-origin"}
    return console.session().post(console.base, headers=headers, timeout=20)


def changing_without_an_origin(console: RunningConsole) -> requests.Response:
    return console.session().post(console.base, headers={"Sec-Fetch-Site": "same-origin"}, timeout=20)


def changing_from_another_site(console: RunningConsole) -> requests.Response:
    headers = {"Origin": console.base.rstrip("/"), "Sec-Fetch-Site": "cross-site"}
    return console.session().post(console.base, headers=headers, timeout=20)


def changing_without_the_forms_token(console: RunningConsole) -> requests.Response:
    headers = {"Origin": console.base.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    return console.session().post(console.base, headers=headers, timeout=20)


REFUSED: dict[Ask, tuple[int, str]] = {
    with_a_foreign_host: (421, "the Host is not ours"),
    with_a_host_that_begins_like_ours: (421, "the Host is not ours"),
    without_a_session: (401, "there is no session"),
    with_a_wrong_token: (403, "the start-up token is wrong"),
    without_a_token: (403, "the start-up token is wrong"),
    with_an_invented_cookie: (401, "there is no session"),
    changing_with_a_foreign_origin: (403, "the Origin is not ours"),
    changing_without_an_origin: (403, "the Origin is not ours"),
    changing_from_another_site: (403, "Sec-Fetch-Site is not same-origin"),
    changing_without_the_forms_token: (403, "the form's token is wrong"),
}


@pytest.mark.parametrize("ask", REFUSED)
def test_a_request_that_is_not_the_readers_is_refused_and_logged(console: RunningConsole, ask: Ask) -> None:
    status, reason = REFUSED[ask]
    count = len(console.lines("console_refused"))

    answer = ask(console)

    assert answer.status_code == status
    assert answer.text.startswith(f"Refused: {reason}. ")
    new = wait_until(lambda: console.lines("console_refused")[count:], within=10)
    assert [(line["status"], line["reason"]) for line in new] == [(status, reason)]
    assert console.url.partition("token=")[2] not in console.child.output.read_text().partition("token=")[2][50:]


# --- Pages of other sites ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1", "the Origin is not ours"), ("localhost", "there is no session")]
)
def test_a_form_of_another_site_that_the_reader_is_lured_to_is_refused_and_logged(
    console: RunningConsole, opened: Page, visitor: Visitor, host: str, reason: str
) -> None:
    visitor.expect("status of 40[134]")
    html = f"<form method=post action='{console.base}'><button>Win a parcel</button></form>"
    with serving_requests(lambda _: Reply(html.encode(), headers={"Content-Type": "text/html"})) as url:
        opened.goto(url.replace("127.0.0.1", host))
        opened.get_by_role("button").click()

        expect(opened.locator("body")).to_contain_text(f"Refused: {reason}")
    last = wait_until(lambda: console.lines("console_refused"), within=10)[-1]
    assert (last["reason"], last["origin"]) == (reason, url.replace("127.0.0.1", host))


def test_another_site_can_neither_frame_nor_fetch_a_page(
    console: RunningConsole, opened: Page, visitor: Visitor
) -> None:
    visitor.expect("frame-ancestors|CORS|ERR_BLOCKED|ERR_FAILED|status of 401")
    html = f"<iframe src='{console.base}'></iframe>"
    with serving_requests(lambda _: Reply(html.encode(), headers={"Content-Type": "text/html"})) as url:
        opened.goto(url)
        fetching = "url => fetch(url, {credentials: 'include'}).then(answer => answer.text()).catch(String)"
        fetched = opened.evaluate(fetching, console.base)
        framed = [frame.content() for frame in opened.frames[1:]]

    assert fetched == "TypeError: Failed to fetch"
    assert ["OneStock" in each for each in framed] == [False]


# --- What stands in the lines -----------------------------------------------------------------------------------------


def test_a_script_in_a_payload_a_name_or_a_reason_is_shown_as_text_and_does_not_run(
    opened: Page,
) -> None:
    row = opened.locator("tr[data-key]").filter(has_text=SCRIPT).first
    expect(row).to_contain_text(SCRIPT)
    row.locator("[data-open]").click()
    opened.wait_for_load_state()
    expect(opened.locator("main")).to_contain_text(SCRIPT)

    assert opened.evaluate("window.itRan === undefined")
    assert opened.locator("main script, main img").count() == 0


def test_lines_that_are_no_json_or_no_lines_of_ours_hide_nothing_and_break_nothing(
    opened: Page,
) -> None:
    expect(opened.locator(".problem")).to_have_count(0)
    expect(opened.locator("tr[data-key]")).to_have_count(14)  # Without a label, a line is a row of its own.
    for link in opened.locator("tr[data-key] [data-open]").evaluate_all("links => links.map(link => link.href)"):
        answer = opened.goto(link)

        assert answer is not None
        assert (link, answer.status) == (link, HTTPStatus.OK)


@pytest.mark.parametrize("narrow", [False, True])
def test_names_of_300_letters_without_a_space_make_no_page_wider_than_the_screen(
    console: RunningConsole, visitor: Visitor, *, narrow: bool
) -> None:
    page = visitor.page(narrow=narrow)
    page.goto(console.url)
    page.wait_for_selector("tr[data-key]")
    link = page.locator("tr[data-key]").filter(has_text=LONG).locator("[data-open]").first
    event = link.get_attribute("href") or ""
    wide = {}
    for path in ("/", event, f"/order/{LONG}", "/dead-letters", "/webhooks?range=24h"):
        page.goto(console.base.rstrip("/") + path)
        wide[path] = is_wider_than_the_screen(page)

    assert [path for path, is_wide in wide.items() if is_wide] == []


def test_a_body_of_10_megabytes_is_shown_in_part_and_its_page_stays_quick(opened: Page) -> None:
    opened.locator("tr[data-key]").filter(has_text="→ huge").locator("[data-open]").click()
    opened.wait_for_selector("pre")
    began = time.perf_counter()
    answer = opened.reload()
    opened.keyboard.press("/")
    opened.keyboard.type("ORD-1")
    expect(opened.locator("#q")).to_have_value("ORD-1")
    seconds = time.perf_counter() - began

    assert answer is not None
    print(f"a body of {HUGE:,} bytes: a page of {len(answer.body()):,} bytes, quick again after {seconds:.2f} s")
    assert len(answer.body()) < HUGE / 10
    assert seconds < 5
