"""A headless Chromium that says what a page did: what it logged, and what it asked the network for."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Background services ask the network for this and that; a page's own requests would drown in them.
OPTIONS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
HOW = "apt-get install chromium"
PATIENCE = 120_000  # milliseconds that a browser may take for anything, on a busy machine


@dataclass(frozen=True)
class Visit:
    """An open page, its errors (console and uncaught), and the addresses that it asked for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"there is no Chromium: {HOW}")
        pytest.skip(f"there is no Chromium: {HOW}")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS), timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Visit]]:
    """Opens an address in a browser of its own, `visit(url, width=375, dark=True)`.

    Where it is `still`, the page's clock goes on only when the test says so (`page.clock.run_for`).
    """
    contexts = []

    def open_page(url, width=1280, height=900, dark=False, still=False, **more) -> Visit:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **more
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        if still:
            context.clock.install(time=0)
            context.clock.pause_at(1_000_000)
        seen = Visit(context.new_page())
        seen.page.on("console", lambda said: said.type == "error" and seen.errors.append(said.text))
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(url)
        return seen

    yield open_page
    for context in contexts:
        context.close()
