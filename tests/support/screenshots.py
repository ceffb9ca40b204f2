"""Take the console's pictures for README and docs: a local run, invented events, each screen in Chromium.

Run it again after a change to a screen: python -m tests.support.screenshots
"""

import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import Page

from relay.errors import ConfigurationError
from relay.local.services import ROOT
from tests.support.browser import Visitor, running_browser
from tests.support.checkout import Checkout, checkout_in
from tests.support.screens import LONG, SCREENS, to_a_job, to_an_event, to_an_order, to_findings

MAX_BYTES = 150_000
SCENARIOS = (
    *("order-fulfilled", "parcel-lost", "partial-refund", "duplicate", "parcel-lost", "unknown-event-type"),
    *("bad-signature", "unreadable", "stock-import-failed", "parcel-lost", "order-fulfilled", "out-of-order"),
)
HANDLERS = """
import logging

from relay import LineItemGroupStateChanged, OrderStateChanged, ParcelStateChanged, Reject, on

logger = logging.getLogger(__name__)


@on("order_state_changed")
def tell_customer(event: OrderStateChanged) -> None:
    logger.info("Order %s is %s", event.order_id, event.new_state)


@on("order_state_changed")
def book_sale(event: OrderStateChanged) -> None:
    if event.new_state == "fulfilled":
        logger.info("Order %s is booked", event.order_id)


@on("line_item_group_state_changed")
def refund_payment(event: LineItemGroupStateChanged) -> None:
    if event.new_state == "out_of_stock":
        raise Reject("the payment provider knows no payment INVENTED-PAY-1")


@on("parcel_state_changed")
def claim_insurance(event: ParcelStateChanged) -> None:
    if event.new_state == "lost":
        raise Reject("the insurer knows no carrier INVENTED-1")
"""
FAULT = 'raise Reject("the insurer knows no carrier INVENTED-1")'


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: how to come to it from the list of events."""

    name: str
    go: Callable[[Page], None]
    dark: bool = False
    narrow: bool = False
    is_whole: bool = False
    """Whether it shows the whole page, and not what fits on the screen."""
    is_mended: bool = False
    """Whether the failing handler is mended before."""


def at_home(_: Page) -> None:
    """Stay at the list of events."""


def to_the_canary(page: Page) -> None:
    """Redrive one dead letter, and see its end."""
    to_a_job(page)
    page.locator("#canary", has_text="handled").wait_for(timeout=LONG)


PICTURES = (
    Picture("events", at_home),
    Picture("events-dark", at_home, dark=True),
    Picture("events-narrow", at_home, narrow=True),
    Picture("event", to_an_event),
    Picture("event-dark", to_an_event, dark=True),
    Picture("order", to_an_order),
    Picture("dead-letters", SCREENS["Dead letters"]),
    Picture("dead-letters-narrow", SCREENS["Dead letters"], narrow=True),
    Picture("webhooks", SCREENS["Webhooks"], is_whole=True),
    Picture("health", to_findings),
    Picture("redrive", to_the_canary, is_mended=True),
)


@contextmanager
def shop() -> Iterator[Checkout]:
    """Run everything on this machine, with the events of a few orders, three of which have a dead letter."""
    with tempfile.TemporaryDirectory() as folder, checkout_in(Path(folder), package="shop") as checkout:
        checkout.save(HANDLERS)
        checkout.start("--rate", "0", "--attempts", "3")
        checkout.wait_for("/open?token=", within=90)
        for scenario in SCENARIOS:
            click.echo(checkout.run("trigger", scenario).stdout)
        yield checkout


def take(visitor: Visitor, url: str, picture: Picture, folder: Path) -> None:
    """Take one picture. Raises ConfigurationError if it is too large for the repository."""
    page = visitor.page(dark=picture.dark, narrow=picture.narrow, reduced_motion=True)
    page.goto(url)
    page.wait_for_selector("tr[data-key]")
    picture.go(page)
    file = folder / f"{picture.name}.png"
    # A palette of 256 colours is enough for text on plain ground, and a third of the size.
    taken = Image.open(io.BytesIO(page.screenshot(animations="disabled", full_page=picture.is_whole))).convert("RGB")
    taken.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    size = file.stat().st_size
    click.echo(f"{file}: {size / 1000:.0f} kB")
    if size > MAX_BYTES:
        raise ConfigurationError(f"{file} has {size} bytes: {MAX_BYTES} at most, so that the repository stays small")


@click.command()
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=ROOT / "docs" / "screenshots")
@click.argument("names", nargs=-1)
def main(*, folder: Path, names: tuple[str, ...]) -> None:
    """Take the pictures NAMES, or all, into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [picture for picture in PICTURES if not names or picture.name in names]
    with shop() as checkout, running_browser() as browser:
        visitor = Visitor(browser)
        for picture in wanted:
            if picture.is_mended:
                checkout.save(HANDLERS.replace(FAULT, "pass"))
                checkout.wait_for("reloaded ")
            take(visitor, checkout.console_url, picture, folder)
        if problems := visitor.leave():
            sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
