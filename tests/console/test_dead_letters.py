"""The screen Dead letters: groups and letters of the log, a frozen plan, and what may be done with it."""

import re
from dataclasses import replace
from html import unescape

import pytest

from relay.console.context import Console
from relay.console.jobs import Job, JobOptions, JobState
from relay.console.letters import of_dead_letter
from relay.console.plans import Plan, Verb
from relay.investigation.entries import Entry
from tests.console.conftest import Browser, console_on, opened
from tests.console.test_jobs import ACTION, RULES
from tests.support.dead_letters import NOW, letter
from tests.support.entries import delivery, id_of, webhook
from tests.support.shelf import Shelf
from tests.support.waiting import wait_until

HANDLER = "handlers.orders.follow_order"


def rejected(number: int, reason: str = "no such order", *, seconds: float = 1) -> list[Entry]:
    order_id = f"ORD-{number}"
    end = delivery(number, seconds=seconds, outcome="quarantined", reason=reason, order_id=order_id)
    return [webhook(number, order_id=order_id), end]


@pytest.fixture
def console() -> Console:
    lines = [line for number in (1, 2, 3) for line in rejected(number)]
    return console_on(*lines, *rejected(4, "the <b>shop</b> is closed"), webhook(5), delivery(5))


def groups_on(page: str) -> list[str]:
    return re.findall(r'name="group" value="(\w+)"', page)


def group_links_on(page: str) -> list[str]:
    return [unescape(link) for link in re.findall(r'<a data-open href="(/dead-letters[^"]*)"', page)]


def planned(browser: Browser, **fields: object) -> str:
    """Make a plan; return its path."""
    answer = browser.post("/dead-letters/plan", {"verb": "redrive", **fields})
    assert answer.status_code == 303, answer.text
    return answer.location


def test_the_list_is_of_the_log_and_says_so(console: Console) -> None:
    page = opened(console).get("/dead-letters").text

    assert all(order_id in page for order_id in ("ORD-1", "ORD-2", "ORD-3", "ORD-4"))
    assert "ORD-5" not in page
    assert "the test&#39;s lines: 5 events" in page
    assert "relay dead-letters list --json" in page
    assert "&lt;b&gt;shop" in page


def test_a_filter_is_a_url_and_the_command_line_has_it(console: Console) -> None:
    page = opened(console).get("/dead-letters?reason=closed").text

    assert ("ORD-4" in page, "ORD-1" in page) == (True, False)
    assert "relay dead-letters list --reason closed --json" in page


def test_each_group_leads_to_its_own_letters() -> None:
    lines = [
        line
        for n, reason in ((1, "no order 4711"), (2, "no order 4712"), (3, "closed"))
        for line in rejected(n, reason)
    ]
    browser = opened(console_on(*lines, allows_actions=False))

    pages = [browser.get(link).text for link in group_links_on(browser.get("/dead-letters?event_id=00").text)]

    assert [sorted(re.findall(r"(ORD-.)</a>", page)) for page in pages] == [["ORD-1", "ORD-2"], ["ORD-3"]]
    assert all('name="event_id" value="00"' in page for page in pages)


def test_a_handler_and_an_event_type_are_chosen_from_those_that_exist(console: Console) -> None:
    page = opened(console).get("/dead-letters?handler=gone.away").text

    assert f"<option>{HANDLER}</option>" in page
    assert "<option selected>gone.away</option>" in page
    assert "<option>order_state_changed</option>" in page


def test_a_plan_of_a_group_is_frozen_though_more_of_it_arrive(console: Console) -> None:
    browser = opened(console)
    (group,) = groups_on(browser.get("/dead-letters?reason=such").text)

    path = planned(browser, group=group)
    console.reading.index.add(rejected(6))
    page = browser.get(f"{path}?forgotten_too=yes").text.replace("<wbr>", "")

    assert "redrive 3 dead letters" in page
    assert ("ORD-3" in page, "ORD-4" in page, "ORD-6" in page) == (True, False, False)
    assert f"runs {HANDLER}" in page


def test_a_plan_of_single_letters_holds_those_alone(console: Console) -> None:
    browser = opened(console)

    page = browser.get(planned(browser, letter=[f"{id_of(2)}/{HANDLER}"])).text

    assert "redrive 1 dead letter" in page
    options = f"--handler {HANDLER} --rate 50 --max-redrives 5 --yes --json"
    assert f"relay dead-letters redrive {id_of(2)} {options}" in page


@pytest.mark.parametrize(
    "fields", [{"verb": "redrive"}, {"verb": "redrive", "letter": "nobody/knows"}, {"letter": "x"}]
)
def test_a_plan_of_nothing_or_for_nothing_is_refused(console: Console, fields: dict[str, str]) -> None:
    assert opened(console).post("/dead-letters/plan", fields).status_code == 400


def test_a_discard_without_the_right_number_changes_nothing(console: Console) -> None:
    browser = opened(console)
    path = planned(browser, verb="discard", letter=[f"{id_of(1)}/{HANDLER}", f"{id_of(2)}/{HANDLER}"])

    answer = browser.post(f"{path}/start", {"count": "3"})

    assert (answer.status_code, "type 2" in answer.text) == (400, True)
    assert console.redrives.jobs() == []


@pytest.mark.parametrize("rate", ["-5", "nan", "inf", "1e-300", "0.001", "fast", ""])
def test_a_rate_that_is_none_is_refused_and_nothing_is_started(console: Console, rate: str) -> None:
    browser = opened(console)
    path = planned(browser, letter=f"{id_of(1)}/{HANDLER}")

    answer = browser.post(f"{path}/start", {"rate": rate})

    assert (answer.status_code, "write a number from 0.01 on, or 0 for no limit" in answer.text) == (400, True)
    assert console.redrives.jobs() == []


@pytest.mark.parametrize("most", ["abc", "0", "-1", "1.5", ""])
def test_a_number_of_redrives_that_is_none_is_refused_and_nothing_is_started(console: Console, most: str) -> None:
    browser = opened(console)
    path = planned(browser, letter=f"{id_of(1)}/{HANDLER}")

    answer = browser.post(f"{path}/start", {"max_redrives": most})

    assert (answer.status_code, "write a whole number from 1 on" in answer.text) == (400, True)
    assert console.redrives.jobs() == []


def test_filters_that_the_command_does_not_know_are_named(console: Console) -> None:
    browser = opened(console)

    page = browser.get("/dead-letters?event_id=00&since=2020-01-01T00:00:00Z&reason=no").text

    assert "The command has no filter for: event id, from. It lists more than this page." in page
    assert "The command has no filter" not in browser.get("/dead-letters?reason=no").text


def test_the_command_of_a_redrive_has_all_that_the_job_was_started_with(console: Console) -> None:
    held = [letter(message_id="m1")]
    plan = Plan.of(Verb.REDRIVE, [of_dead_letter(held[0], None)], now=NOW)
    ended(console, plan, Shelf(held))

    page = opened(console).get(f"/dead-letters/job/{plan.id}").text

    options = "--rate 0 --max-redrives 5 --forgotten-too --yes --json"
    assert f"<code>relay dead-letters redrive m1 {options}</code>" in page


@pytest.mark.parametrize("since", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00%2B12:00"])
@pytest.mark.parametrize("path", ["/dead-letters", "/", "/webhooks"])
def test_a_moment_outside_the_calendar_is_not_understood(console: Console, path: str, since: str) -> None:
    answer = opened(console).get(f"{path}?since={since}")

    assert (answer.status_code, "not understood" in answer.text) == (200, True)


def test_the_page_of_the_first_one_waits_for_its_own_end(console: Console) -> None:
    earlier = replace(delivery(1, seconds=2), fields={**delivery(1).fields, "generation": 1_700_000_000})
    console.reading.index.add([earlier])
    held = [letter(message_id=f"m{number}", event_id=id_of(number)) for number in (1, 2)]
    plan = Plan.of(Verb.REDRIVE, [of_dead_letter(one, None) for one in held], now=NOW)
    options = JobOptions(rules=RULES, per_second=0, canary=True)
    job = console.redrives.start(plan, lambda: Job(plan, options, ACTION, Shelf(held)))

    wait_until(lambda: job.state is JobState.WAITING, within=20)

    assert "the log does not tell its end yet" in opened(console).get(f"/dead-letters/job/{plan.id}").text


def ended(console: Console, plan: Plan, shelf: Shelf, *, stop_first: bool = False) -> Job:
    """Carry out a plan to its end."""
    job = Job(
        plan, JobOptions(rules=RULES, per_second=0, canary=False), ACTION, shelf, on_end=console.redrives.note_gone
    )
    if stop_first:
        shelf.on_publish = job.stop
    console.redrives.start(plan, lambda: job)
    job.join(within_seconds=20)
    assert job.state is JobState.ENDED
    return job


def test_the_page_of_an_event_says_who_discarded_its_dead_letter(console: Console) -> None:
    browser, held = opened(console), [letter(message_id="m1", event_id=id_of(1), dead_letter_handler=HANDLER)]
    before = browser.get(f"/event/{id_of(1)}").text

    plan = Plan.of(Verb.DISCARD, [replace(of_dead_letter(held[0], None), message_id="")], now=NOW)
    ended(console, plan, Shelf(held))
    after = browser.get(f"/event/{id_of(1)}").text

    assert [text in before for text in ("redrive or discard it there", "Now: <span")] == [True, True]
    assert [text in after for text in ("redrive or discard it there", "Now: <span")] == [False, False]
    assert f'<a href="/dead-letters/job/{plan.id}"><strong>discarded</strong></a> by nobody at ' in after


def test_a_stopped_redrive_says_what_is_left_and_plans_it(console: Console) -> None:
    held = [letter(message_id=f"m{n}", event_id=id_of(n), order_id="D") for n in (1, 2, 3)]
    plan = Plan.of(Verb.REDRIVE, [of_dead_letter(one, None) for one in held], now=NOW)
    job, browser = ended(console, plan, Shelf(held), stop_first=True), opened(console)

    page, listed = browser.get(f"/dead-letters/job/{plan.id}").text, browser.get("/dead-letters").text
    rest = browser.post(f"/dead-letters/job/{plan.id}/plan-the-rest").location

    words = "was stopped: 1 redriven, 2 not sent (they are still dead letters)"
    assert all(f"{tag}{words}" in text for tag, text in (("<strong>", page), ("</a>: ", listed)))
    assert ('<progress max="3" value="1"' in page, "Plan the other 2" in page) == (True, True)
    assert "redrive 2 dead letters" in browser.get(rest).text
    assert {one.key for one in job.left} == {"m2", "m3"}


def test_a_read_only_console_does_not_offer_to_redrive_on_the_page_of_an_event(console: Console) -> None:
    page = opened(replace(console, allows_actions=False)).get(f"/event/{id_of(1)}").text

    assert ("Among the dead letters" in page, "redrive or discard it there" in page) == (True, False)


def test_a_read_only_console_starts_nothing(console: Console) -> None:
    read_only = replace(console, allows_actions=False)
    browser = opened(read_only)

    path = planned(browser, letter=f"{id_of(1)}/{HANDLER}")

    assert "Read only" in browser.get(path).text
    assert browser.post(f"{path}/start").status_code == 403
    assert read_only.redrives.jobs() == []


def test_ten_thousand_letters_are_one_plan_whose_page_stays_small() -> None:
    console = console_on(*(line for number in range(10_000) for line in rejected(number)))
    browser = opened(console)
    (group,) = groups_on(browser.get("/dead-letters").text)

    path = planned(browser, group=group)
    plan = browser.get(path).text

    assert "redrive 10000 dead letters" in plan
    assert "The first 200 of 10000" in plan
    assert len(plan) < 400_000


def test_what_is_unknown_or_not_started_is_not_found(console: Console) -> None:
    browser = opened(console)

    assert browser.get("/dead-letters/plan/none").status_code == 404
    assert browser.get("/dead-letters/job/none").status_code == 404
