"""Debian's Chromium, driven by Playwright, and what a page is judged by."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, async_playwright

from tusd_py.web.pages import BUILT

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
_AXE = ROOT / "tusd_py/web/ui/node_modules/axe-core/axe.min.js"

DESKTOP = (1280, 800)
PHONE = (390, 844)
# A loaded machine may take long for anything; no test waits for time to pass.
PATIENCE_MS = 90_000

_OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]  # root, in containers
_BAD = ("serious", "critical")


def need_browser() -> None:
    """Fail with a sentence if there is no browser, or nothing to look at."""
    if shutil.which("chromium") is None or not BUILT.exists() or not _AXE.exists():
        pytest.fail("Chromium or the built pages are missing: run `make e2e`", pytrace=False)


@contextlib.asynccontextmanager
async def open_browser(
    profile: Path,
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
    **options: Any,
) -> AsyncIterator[BrowserContext]:
    """Run a browser; with the same profile a later one finds what this one has stored.

    Args:
        profile: the directory of the browser's memory.
        size: of its window.
        dark: whether the system's theme is.
        options: more of Playwright's, such as ``bypass_csp``.
    """
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=shutil.which("chromium"),
            args=_OPTIONS,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",  # what fades has too little contrast, for a moment
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        try:
            yield context
        finally:
            with contextlib.suppress(Exception):  # a browser that has crashed cannot be closed
                await context.close()


def listen(page: Page) -> list[str]:
    """Return a list that all violations of the page's security policy are added to."""
    violations: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            violations.append(message.text)

    page.on("console", note)
    return violations


async def shoot(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep what the page looks like, for people: what is in the window, or all of it."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled", full_page=whole)


async def flaws(page: Page) -> list[str]:
    """Let axe look for what keeps people out; return what it calls serious or critical.

    The browser has to be opened with ``bypass_csp``.
    """
    await page.add_script_tag(path=_AXE)
    found = await page.evaluate("axe.run()")
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
        if violation["impact"] in _BAD
    ]


async def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    wider = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert isinstance(wider, int)
    return wider
