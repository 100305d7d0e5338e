"""Screenshots go to pytest's temporary directory; those of the README to SCREENSHOTS, if that is set."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.installation import Installation

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000
"""Milliseconds; the first page of an API server takes a while on a busy machine."""

Shoot = Callable[[str], None]


@pytest.fixture(scope="module")
def browser_page(installation: Installation) -> Iterator[Page]:
    """A page of a person who has logged in."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
        page.set_default_timeout(PATIENCE)
        page.goto(installation.stack.url)
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill("admin")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Dags", exact=True)).to_be_visible()
        yield page
        browser.close()


@pytest.fixture
def page(browser_page: Page) -> Page:
    """The same page for each test, in a common size."""
    browser_page.set_viewport_size({"width": 1280, "height": 800})
    return browser_page


@pytest.fixture
def shoot(page: Page, tmp_path: Path) -> Shoot:
    """A function that keeps a picture of the README under a name."""
    return shooting(page, Path(os.environ.get("SCREENSHOTS") or tmp_path))


@pytest.fixture
def keep(page: Page, tmp_path: Path) -> Shoot:
    """A function that keeps what is seen for whoever looks into a test run afterwards."""
    return shooting(page, tmp_path)


def shooting(page: Page, directory: Path) -> Shoot:
    def shoot(name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        page.mouse.move(0, 0)
        page.screenshot(path=directory / f"{name}.png", animations="disabled")

    return shoot
