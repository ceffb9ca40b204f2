"""Debian's Chromium, and what a page of it tells: errors, violations of the content policy, faults of accessibility."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from relay.errors import ConfigurationError

WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=360, height=740)
PATIENCE = 20_000
"""How many milliseconds a page has for what it is to do: the machine may be busy."""
_COMMANDS = ("chromium", "chromium-browser")
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-lcd-text",  # A picture of letters with coloured edges needs more colours.
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
_SERIOUS = ("serious", "critical")


def chromium() -> str:
    """Return the path of the browser. Raises ConfigurationError with the package's name where there is none."""
    found = next(filter(None, map(shutil.which, _COMMANDS)), None)
    if not found:
        raise ConfigurationError("Chromium was not found: the tests of the console need it; apt-get install chromium")
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser with an empty profile of its own until the block ends."""
    command = chromium()
    expect.set_options(timeout=PATIENCE)
    sandbox = os.geteuid() != 0  # Chromium refuses to run as root with its sandbox.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=command, chromium_sandbox=sandbox, args=list(_QUIET))
        with browser:
            yield browser


@dataclass
class Visitor:
    """Opens pages, each in a context without cookies, and keeps each error that one of them tells."""

    browser: Browser
    errors: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Patterns of the errors that the test brings about."""
    _contexts: list[BrowserContext] = field(default_factory=list)

    def page(
        self, *, dark: bool = False, narrow: bool = False, javascript: bool = True, reduced_motion: bool = False
    ) -> Page:
        """Open a page of 1280 or 360 pixels width."""
        context = self.browser.new_context(
            viewport=NARROW if narrow else WIDE,
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            reduced_motion="reduce" if reduced_motion else "no-preference",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.errors.append(f"uncaught: {error.error}"))
        self._contexts.append(context)
        return context.new_page()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":  # Chromium tells a violation of the content policy as an error, too.
            self.errors.append(f"{message.location.get('url', '')}: {message.text}")

    def expect(self, pattern: str) -> None:
        """Expect an error with text like this, as a test does that provokes it."""
        self.expected.append(pattern)

    def leave(self) -> list[str]:
        """Close every page, and return the errors that nobody expected."""
        for context in self._contexts:
            context.close()
        return [error for error in self.errors if not any(re.search(pattern, error) for pattern in self.expected)]


def faults_of(page: Page) -> list[str]:
    """Return what axe finds serious or critical on the page, one line for each element."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{found['impact']}: {found['id']}: {found['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for found in violations
        if found["impact"] in _SERIOUS
        for node in found["nodes"]
    ]


def is_wider_than_the_screen(page: Page) -> bool:
    """Return whether the page scrolls sideways."""
    root = "document.documentElement"
    return bool(page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"))
