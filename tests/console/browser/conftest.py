"""One browser for all tests of this package that a process runs; each page has cookies of its own."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from relay.errors import ConfigurationError
from tests.support.browser import Visitor, chromium, running_browser
from tests.support.checkout import Checkout, checkout_in


# Not for the session: while Playwright runs, no other test of the process could run an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    try:
        chromium()
    except ConfigurationError as error:
        pytest.fail(str(error), pytrace=False)
    with running_browser() as running:
        yield running


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Open pages, and fail the test in which a page tells an error that the test did not expect."""
    visiting = Visitor(browser)
    yield visiting
    assert visiting.leave() == []


@pytest.fixture
def page(visitor: Visitor) -> Page:
    return visitor.page()


HANDLERS = """
from relay import OrderStateChanged, Reject, on

@on("order_state_changed")
def follow(event: OrderStateChanged) -> None:
    if event.new_state == "lost":
        raise Reject("invented: the parcel has no weight")
"""


@pytest.fixture(scope="package")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Run everything on this machine; the handler rejects what is lost."""
    with checkout_in(tmp_path_factory.mktemp("checkout")) as checkout:
        checkout.save(HANDLERS)
        checkout.start("--rate", "0")
        checkout.wait_for("/open?token=")
        checkout.wait_for("loaded ")
        yield checkout
