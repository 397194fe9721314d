"""The upload page for everybody: dark and light, on a desk and on a phone, with a screen reader."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.browser import (
    DESKTOP,
    PHONE,
    flaws,
    need_browser,
    open_browser,
    overflow,
    shoot,
)
from tests.support.chaos_proxy import ChaosProxy, Cut, Ending

from .conftest import StartServer
from .samples import MB, Samples
from .upload_page import UploadPage, page_of

pytestmark = [pytest.mark.usefixtures("browser_there"), pytest.mark.timeout(400)]

SIZES = {"desktop": DESKTOP, "phone": PHONE}


@pytest.fixture(scope="module")
def browser_there() -> None:
    """Makes sure that there is a browser, and something to look at."""
    need_browser()


def _photo(width: int = 480, height: int = 320) -> bytes:
    """Return a PNG with something to see on it: an evening sky."""
    rows = b"".join(
        b"\0" + b"".join(bytes((40 + y // 2, 60 + x // 6, 160 - y // 4)) for x in range(width))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, level=0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _files(samples: Samples) -> list[Any]:
    return [
        {"name": "evening.png", "mimeType": "image/png", "buffer": _photo()},
        {"name": "film.mp4", "mimeType": "video/mp4", "buffer": samples.of(2 * MB).read()},
        {
            "name": "minutes of the meeting.txt",
            "mimeType": "text/plain",
            "buffer": b"Yes. " * 99_999,
        },
        {"name": "much too large.zip", "mimeType": "application/zip", "buffer": bytes(4 * MB)},
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_everybody_can_use_it(
    tmp_path: Path, start_server: StartServer, samples: Samples, size: str, *, dark: bool
) -> None:
    """In each of its states axe finds nothing serious, and nothing is wider than the window."""
    server = start_server("--max-size", "3MB")
    found: dict[str, list[str]] = {}
    name = f"upload-{size}-{'dark' if dark else 'light'}"
    cuts = [Cut(after_bytes=200_000, ending=Ending.HOLD)] * 3  # one for each file
    async with (
        ChaosProxy(server.port, cuts) as proxy,
        open_browser(tmp_path / "profile", size=SIZES[size], dark=dark, bypass_csp=True) as browser,
    ):
        page = await UploadPage.open(browser, page_of(proxy.url_of(server.url)))

        async def look(state: str) -> None:
            await shoot(page.page, f"{name}-{state}")
            found[state] = await flaws(page.page)
            assert await overflow(page.page) == 0

        await look("1-empty")
        await page.add(*_files(samples))
        await expect(page.items).to_have_count(3)
        await expect(page.page.locator("img.uppy-Dashboard-Item-previewImg")).to_be_visible()
        await look("2-chosen")
        await page.button("Dismiss").click()
        await page.button("Upload 3 files").click()
        await proxy.wait_cut_offs(3)
        await expect(page.page.locator("#speed")).not_to_be_empty()
        await look("3-uploading")
        await browser.set_offline(True)
        proxy.drop()
        await expect(page.state).to_contain_text("Connection lost")
        await look("4-waiting")
        await browser.set_offline(False)
        await page.completed()
        await look("5-complete")
        await page.button("Done").click()
        await page.page.route("**/files/", lambda route: route.fulfill(status=403))
        await page.upload(samples.of(2 * MB).path)
        await expect(page.problems).to_contain_text(["ask those who run the server"])
        await look("6-failed")
    assert [f"{state}: {flaw}" for state, flaws in found.items() for flaw in flaws] == []
