"""A page that says what did not work leads back to where its reader came from, and to no other site."""

import pytest

from tests.console.conftest import OUR_URL, OURS, Browser, client_of, console_on
from tests.support.entries import webhook


def problem_after(referrer: str) -> str:
    client = client_of(console_on(webhook(1)))
    Browser(client)
    return client.get("/dead-letters/plan/none", base_url=OUR_URL, headers={"Referer": referrer}).text


def test_a_problem_is_said_in_its_own_words_and_leads_back() -> None:
    page = problem_after(f"{OUR_URL}/dead-letters?handler=a&reason=b")

    assert 'role="alert">There is no such plan' in page
    assert f'<a href="{OUR_URL}/dead-letters?handler=a&amp;reason=b">Back</a>' in page


def test_a_form_that_is_refused_leads_back_to_its_page() -> None:
    client = client_of(console_on(webhook(1)))
    csrf = Browser(client).csrf
    headers = {**OURS, "Referer": f"{OUR_URL}/dead-letters"}

    page = client.post("/dead-letters/plan", base_url=OUR_URL, headers=headers, data={"csrf": csrf}).text

    assert f'<a href="{OUR_URL}/dead-letters">Back</a>' in page


@pytest.mark.parametrize(
    "referrer", ["", "http://evil.test/", f"{OUR_URL}.evil.test/", f"{OUR_URL}/dead-letters/plan/none"]
)
def test_without_a_page_of_ours_before_it_the_problem_leads_to_the_events(referrer: str) -> None:
    page = problem_after(referrer)

    assert '<a href="/">To the events</a>' in page
    assert ">Back<" not in page
