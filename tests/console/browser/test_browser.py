"""The browser of the tests tells what is wrong with a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from relay.errors import ConfigurationError
from tests.support.browser import Visitor, chromium, faults_of, is_wider_than_the_screen
from tests.support.serving import Reply, serving_requests


@contextmanager
def served(html: str, **headers: str) -> Iterator[str]:
    headers = {"Content-Type": "text/html", **headers}
    with serving_requests(lambda _: Reply(html.encode(), headers=headers)) as url:
        yield url


def test_an_error_on_a_page_is_told(browser: Browser) -> None:
    visitor = Visitor(browser)
    with served("<script>undefined_function()</script><img src='data:image/png,none'>") as url:
        visitor.page().goto(url)
        errors = visitor.leave()

    assert ["undefined_function is not defined" in error for error in errors] == [True]


def test_what_the_content_policy_refuses_is_told(browser: Browser) -> None:
    visitor = Visitor(browser)
    policy = {"Content-Security-Policy": "default-src 'self'"}
    with served("<script>document.title = 'it ran'</script>", **policy) as url:
        page = visitor.page()
        page.goto(url)
        title = page.title()
        errors = visitor.leave()

    assert title == ""
    assert ["Content Security Policy" in error for error in errors] == [True], errors


def test_an_expected_error_is_no_fault(browser: Browser) -> None:
    visitor = Visitor(browser)
    visitor.expect("not defined")
    with served("<script>undefined_function()</script>") as url:
        visitor.page().goto(url)

        assert visitor.leave() == []


def test_axe_finds_what_is_serious_under_a_strict_content_policy(visitor: Visitor) -> None:
    policy = {"Content-Security-Policy": "default-src 'self'"}
    html = "<html lang=en><title>t</title><main><h1>h</h1><button></button><p>fine</p></main></html>"
    with served(html, **policy) as url:
        page = visitor.page(dark=True)
        page.goto(url)

        assert [fault.split(":")[1].strip() for fault in faults_of(page)] == ["button-name"]


def test_a_page_that_is_wider_than_a_telephone_is_found(visitor: Visitor) -> None:
    with served("<p style='width: 600px'>wide</p>") as url:
        wide, narrow = visitor.page(), visitor.page(narrow=True)
        wide.goto(url)
        narrow.goto(url)

        assert (is_wider_than_the_screen(wide), is_wider_than_the_screen(narrow)) == (False, True)


def test_a_machine_without_the_browser_is_told_which_package_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match="apt-get install chromium"):
        chromium()
