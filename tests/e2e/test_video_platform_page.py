"""The page of the example, in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support import contents
from tests.support.browser import PATIENCE_MS, open_browser
from tests.support.chaos_proxy import ChaosProxy, Cut, Ending

from .samples import MB, VIDEO_BYTES, Samples
from .stored import sha256_of
from .video_platform import EXAMPLE, PASSWORDS, Platform

pytestmark = pytest.mark.timeout(300)

HALF = 40 * MB


@pytest.fixture(autouse=True)
def browser_there() -> None:
    """Makes sure that there is a browser, and what the page needs."""
    if shutil.which("chromium") is None or not (EXAMPLE / "node_modules/uppy").is_dir():
        pytest.fail("Chromium or Uppy is missing: run `make e2e`", pytrace=False)


@pytest.fixture
def films(tmp_path: Path) -> Iterator[Samples]:
    """Files that begin like videos."""
    (tmp_path / "films").mkdir()
    made = Samples(tmp_path / "films", begin=contents.MP4)
    yield made
    made.remove()


async def sign_in(page: Page, url: str, password: str = PASSWORDS["anna"]) -> None:
    """Open the page and sign in."""
    await page.goto(url)
    await page.get_by_placeholder("name").fill("anna")
    await page.get_by_placeholder("password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def begin(page: Page, film: Path) -> None:
    """Choose a file and upload it."""
    await page.locator("input.uppy-Dashboard-input").first.set_input_files(film)
    await page.get_by_role("button", name=re.compile(r"Upload \d+ file")).click()


async def test_an_upload_goes_on_after_the_page_was_closed(tmp_path: Path, films: Samples) -> None:
    """79 MB, cut, the page loaded anew, and cut again: it goes on, arrives, and is listed."""
    film = films.of(VIDEO_BYTES)
    platform = Platform(tmp_path / "platform")
    cuts = [Cut(after_bytes=HALF, ending=Ending.HOLD), Cut(after_bytes=MB, ending=Ending.FIN)]
    with platform.app(), platform.publisher():
        async with (
            ChaosProxy(platform.port, cuts) as proxy,
            open_browser(tmp_path / "b") as browser,
        ):
            site = proxy.url_of(platform.site + "/")
            page = await browser.new_page()
            await sign_in(page, site)
            await begin(page, film.path)
            reached = (await proxy.wait_cut_offs(1)).reached
            await sign_in(page, site)
            await begin(page, film.path)
            await expect(page.locator("#videos li")).to_contain_text(
                f"{film.path.name}: {film.size} bytes, SHA-256 {film.sha256}", timeout=PATIENCE_MS
            )
            await expect(page.locator("#troubles li").first).to_contain_text(film.path.name)
            creations = [r for r in proxy.requests if (r.method, r.path) == ("POST", "/files/")]
            assert len(creations) == 1
            # Chromium sends a request again by itself if its connection dies before an answer.
            begun = {request.offset for request in proxy.requests if request.method == "PATCH"}
            assert begun == {0, *(cut.reached for cut in proxy.cut_offs)}
            assert 0 < reached < proxy.cut_offs[1].reached < film.size
    (published,) = platform.published
    assert sha256_of(published) == film.sha256


async def test_the_page_tells_what_is_refused(tmp_path: Path) -> None:
    """A wrong password, and a program that says it is a video."""
    program = tmp_path / "film.mp4"
    program.write_bytes(contents.EXE + bytes(MB))
    platform = Platform(tmp_path / "platform")
    with platform.app():
        async with open_browser(tmp_path / "b") as browser:
            page = await browser.new_page()
            await sign_in(page, platform.site, "wrong")
            await expect(page.locator("output")).to_contain_text("nobody with this name")
            await sign_in(page, platform.site)
            await begin(page, program)
            await expect(page.locator(".uppy-StatusBar.is-error")).to_be_visible()
    assert platform.uploads == set()
