"""What every page has: where its lines and actions belong, and a reason field that fits its words."""

import pytest

from tests.console.conftest import console_on, opened
from tests.console.test_dead_letters import groups_on, rejected

PROJECT = {"GOOGLE_CLOUD_PROJECT": "my-project"}


@pytest.mark.parametrize(
    ("environ", "is_local", "place"),
    [(PROJECT, False, "project my-project"), ({}, False, "files"), (PROJECT, True, "local run")],
)
def test_every_page_names_the_place_that_it_shows(environ: dict[str, str], place: str, *, is_local: bool) -> None:
    page = opened(console_on(environ=environ, is_local=is_local)).get("/").text
    read_only = opened(console_on(environ=environ, is_local=is_local, allows_actions=False)).get("/").text

    assert f'<span class="place">{place}</span>' in page
    assert f'<span class="place">{place}, read only</span>' in read_only


def test_the_reason_of_a_local_run_is_optional_in_a_word_that_is_not_cut() -> None:
    page = opened(console_on(*rejected(1))).get("/dead-letters").text
    form = opened(console_on(*rejected(1)))
    plan = form.post("/dead-letters/plan", {"verb": "redrive", "group": groups_on(page)}).location

    assert 'placeholder="optional"' in form.get(plan).text
