"""The ways from the list of events to each screen of the console, for a run with a dead letter."""

from collections.abc import Callable

from playwright.sync_api import Page

LONG = 60_000  # Milliseconds.


def by_the_navigation(name: str) -> Callable[[Page], None]:
    """Return the way to a screen that the navigation names."""

    def go(page: Page) -> None:
        page.get_by_role("navigation", name="Screens").get_by_role("link", name=name).click()

    return go


def to_findings(page: Page) -> None:
    """Open the health, and wait until the doctor has examined."""
    by_the_navigation("Health")(page)
    page.wait_for_selector("table.findings", timeout=LONG)


def to_an_event(page: Page) -> None:
    """Open the newest event that is a dead letter."""
    page.locator("tr[data-key]", has_text="dead letter").locator("[data-open]").first.click()
    page.wait_for_selector(".timeline")


def to_an_order(page: Page) -> None:
    """Open the order of that event."""
    page.locator("tr[data-key]", has_text="dead letter").locator("td[data-label=Order] a").first.click()
    page.wait_for_selector("h1:has-text('Order')")


def to_a_plan(page: Page) -> None:
    """Plan to redrive the first group of dead letters."""
    by_the_navigation("Dead letters")(page)
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Plan a redrive").click()
    page.wait_for_selector("h1:has-text('Plan')")


def to_a_job(page: Page) -> None:
    """Start that redrive."""
    to_a_plan(page)
    page.locator("main form").get_by_role("button").click()
    page.wait_for_selector("#progress")


SCREENS: dict[str, Callable[[Page], None]] = {
    **{name: by_the_navigation(name) for name in ("Events", "Dead letters", "Webhooks")},
    "Health": to_findings,
    "event": to_an_event,
    "order": to_an_order,
    "plan": to_a_plan,
    "redrive": to_a_job,
}
