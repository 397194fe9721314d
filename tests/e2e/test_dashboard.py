"""The operators' dashboard in a real browser: what it says, and that everybody can read it."""

from __future__ import annotations

import base64
import contextlib
import random
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.support.browser import (
    DESKTOP,
    PATIENCE_MS,
    PHONE,
    flaws,
    listen,
    need_browser,
    open_browser,
    overflow,
    shoot,
)
from tests.support.redis_server import free_port
from tests.support.server import Server, running_server
from tusd_py.interfaces.history import Batch
from tusd_py.telemetry.history_sqlite import SqliteHistory

expect.set_options(timeout=PATIENCE_MS)

LOOKS: Mapping[str, tuple[tuple[int, int], Literal["light", "dark"]]] = {
    "desktop": (DESKTOP, "light"),
    "desktop-dark": (DESKTOP, "dark"),
    "phone": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}
FILM = "A film with a very long name that nobody shortened before it was sent, version 2.mov"


pytestmark = [pytest.mark.usefixtures("browser_there"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def browser_there() -> None:
    """Makes sure that there is a browser, and something to look at."""
    need_browser()


@contextlib.contextmanager
def running_dashboard(directory: Path, *options: str) -> Iterator[tuple[Server, str]]:
    """A server and the URL of its dashboard."""
    admin = f"127.0.0.1:{free_port()}"
    patient = ("--network-timeout", "10m")  # however long the browser takes
    with running_server(directory, "--admin-listen", admin, *patient, *options) as server:
        yield server, f"http://{admin}/dashboard"


@contextlib.contextmanager
def receiving(server: Server, count: int, length: int = 1_000_000) -> Iterator[None]:
    """Have so many uploads under way, each at its own place, for the length of the context."""
    place = urlsplit(server.url).path
    with contextlib.ExitStack() as stack:
        for i in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            name = base64.b64encode((FILM if i == 0 else f"holiday {i}.jpg").encode()).decode()
            sock.sendall(
                f"POST {place} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n"
                f"Upload-Length: {length}\r\nUpload-Metadata: filename {name}\r\n"
                "Content-Length: 0\r\n\r\n".encode()
            )
            head = sock.recv(4096).decode()
            match = re.search(r"Location: \S+/(\w+)\r\n", head)
            assert match is not None, head
            part = length * (i % 10 + 1) // 12
            sock.sendall(
                f"PATCH {place}{match[1]} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n"
                "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
                f"Content-Length: {length}\r\n\r\n".encode()
                + bytes(part)
            )
        yield


def past() -> Mapping[int, Mapping[str, int]]:
    """A week as it might have been, up to a minute ago; always the same numbers."""
    chance = random.Random(7)  # noqa: S311 - for a picture
    minute = int(time.time()) // 60 * 60
    return {
        minute - 60 * i: {
            "requests": 40,
            "created": 12,
            "finished": 8 + chance.randrange(4),
            "cancelled": chance.randrange(2),
            "expired": chance.randrange(2),
            "bodies": 14,
            "resumed": chance.randrange(4),
            "bytes": chance.randrange(10**8, 9 * 10**8),
            "interrupted:ERR_UNEXPECTED_EOF": chance.randrange(4),
            "interrupted:ERR_READ_TIMEOUT": int(i % 11 == 0),
            "refused:ERR_MAX_SIZE_EXCEEDED": int(i % 7 == 0),
            "refused:ERR_UNEXPECTED_EOF": 1,
            "hook-errors:post-finish": int(i % 30 == 0),
            "size:0": 4,
            "size:1": 3,
            "size:3": 1,
            "size-sum": 4 * 10**8,
            "duration:1": 5,
            "duration:2": 3,
            "duration-sum-ms": 120_000,
        }
        for i in range(1, 7 * 24 * 60 - 120)
    }


async def remember_past(directory: Path) -> None:
    """Write that week into the history of a server that is not running yet."""
    history = SqliteHistory(directory / ".tusd_py" / "history.sqlite")
    await history.open()
    await history.add(Batch(minutes=past()), time.time())
    await history.close()


async def open_dashboard(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
    """Open it, and wait until it shows numbers; and what it did against its policy."""
    page = await context.new_page()
    violations = listen(page)
    await page.goto(url)
    await expect(page.locator("body[data-shown]")).to_be_visible()
    await expect(page.locator("#connection")).to_have_text("Live")
    return page, violations


async def judge(page: Page, name: str) -> None:
    """Keep pictures of the whole page in every look, and find nothing that keeps people out."""
    for look, ((width, height), scheme) in LOOKS.items():
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": height})
        await shoot(page, f"{name}-{look}", whole=True)
        assert await flaws(page) == []
        assert await overflow(page) <= 0


async def test_without_uploads_it_says_what_to_do(tmp_path: Path) -> None:
    """And shows what there is: the server, and that it works."""
    with running_dashboard(tmp_path / "uploads") as (_, url):
        async with open_browser(tmp_path / "b", bypass_csp=True) as context:
            page, _ = await open_dashboard(context, url)
            await expect(page.get_by_text("Nothing is being received.")).to_be_visible()
            await expect(page.get_by_text("Nothing was uploaded in this time")).to_be_visible()
            await expect(page.locator("#server")).to_contain_text("Takes uploads")
            await expect(page.locator("#server")).to_contain_text("Disk")
            await expect(page.locator("#tiles")).to_be_hidden()
            await judge(page, "dashboard-empty")


async def test_it_shows_the_past_and_the_present(tmp_path: Path) -> None:
    """All of a week, with tables behind its charts, and what is being received."""
    await remember_past(tmp_path / "uploads")
    with running_dashboard(tmp_path / "uploads") as (server, url), receiving(server, 3):
        async with open_browser(tmp_path / "b", bypass_csp=True) as context:
            page, _ = await open_dashboard(context, url)
            await expect(page.locator("#now")).to_contain_text("3 uploads are being received")
            await expect(page.locator("#live tbody tr")).to_have_count(3)
            await expect(page.locator("#live tbody tr").first).to_contain_text(FILM)
            for period in ("hour", "day", "week"):
                await page.get_by_label(period.capitalize(), exact=True).check()
                await expect(page.locator("body")).to_have_attribute("data-shown", period)
                await shoot(page, f"dashboard-{period}", whole=True)
            for summary in await page.locator("summary").all():
                await summary.click()
            await expect(page.locator("details table")).to_have_count(3)
            await judge(page, "dashboard-week")


async def test_its_numbers_are_those_of_the_history(tmp_path: Path) -> None:
    """In tiles, in tables and behind the charts; the period is chosen with the keyboard."""
    await remember_past(tmp_path / "uploads")
    minutes = past()
    finished = sum(counts["finished"] for counts in minutes.values())
    cancelled = sum(counts["cancelled"] for counts in minutes.values())
    expired = sum(counts["expired"] for counts in minutes.values())
    with running_dashboard(tmp_path / "uploads") as (_, url):
        async with open_browser(tmp_path / "b") as context:
            page, violations = await open_dashboard(context, url)
            await page.get_by_label("Hour", exact=True).focus()
            await page.keyboard.press("ArrowRight")
            await page.keyboard.press("ArrowRight")
            await expect(page.locator("body")).to_have_attribute("data-shown", "week")
            shown = {
                name: await page.locator(
                    f"#tiles div:has(dt:text-is('{name}')) dd:not(.quiet)"
                ).inner_text()
                for name in ("Success", "Finished", "Cancelled", "Expired", "Begun")
            }
            share = 100 * finished / (finished + cancelled + expired)
            assert shown == {
                "Success": f"{share:.1f}".removesuffix(".0") + "%",
                "Finished": f"{finished:,}",
                "Cancelled": f"{cancelled:,}",
                "Expired": f"{expired:,}",
                "Begun": f"{12 * len(minutes):,}",
            }
            sizes = page.locator("#breakdowns .card", has_text="Sizes of finished uploads")
            row = sizes.locator("tr", has_text="up to 1 MB")
            await expect(row.locator("td")).to_have_text(f"{4 * len(minutes):,}")
            ended = page.locator("figure", has_text="How uploads ended")
            await ended.locator("summary").focus()
            await page.keyboard.press("Enter")
            cells = await ended.locator("tbody td:nth-child(2)").all_inner_texts()
            assert sum(int(cell.replace(",", "")) for cell in cells) == finished
            assert violations == []


async def test_of_very_many_uploads_the_first_are_shown(tmp_path: Path) -> None:
    """And the rest is counted; when all are over, none is left."""
    with running_dashboard(tmp_path / "uploads", "--workers", "2") as (server, url):
        async with open_browser(tmp_path / "b", size=PHONE) as context:
            page, _ = await open_dashboard(context, url)
            with receiving(server, 1000, length=120):
                await expect(page.locator("#now")).to_contain_text("1,000 uploads are")
                await expect(page.locator("#live tbody tr")).to_have_count(50)
                await expect(page.locator("#more")).to_contain_text("and 950 more")
                await shoot(page, "dashboard-thousand-phone")
            await expect(page.locator("#now")).to_have_text("Nothing is being received.")
            await expect(page.locator("#live")).to_be_hidden()


async def test_a_server_that_goes_away_is_noticed_and_so_is_its_return(tmp_path: Path) -> None:
    """Nobody has to reload the page."""
    admin = ("--admin-listen", f"127.0.0.1:{free_port()}")
    url = f"http://{admin[1]}/dashboard"
    async with open_browser(tmp_path / "b", bypass_csp=True) as context:
        with running_server(tmp_path / "uploads", *admin):
            page, _ = await open_dashboard(context, url)
        await expect(page.locator("#connection")).to_have_text("Connection lost: trying again")
        await expect(page.locator("#notice")).to_be_visible()
        await expect(page.locator("#server")).to_contain_text("Cannot be reached")
        await expect(page.locator("#now")).to_have_text("Not known just now.")
        await judge(page, "dashboard-lost")
        with running_server(tmp_path / "uploads", *admin):
            await expect(page.locator("#connection")).to_have_text("Live")
            await expect(page.locator("#notice")).to_be_hidden()
            await expect(page.locator("#server")).to_contain_text("Takes uploads")


async def test_a_token_is_asked_for_if_one_is_needed(tmp_path: Path) -> None:
    """A wrong one is refused in words; the right one is kept as long as the tab is open."""
    tokens = tmp_path / "tokens"
    tokens.write_text("correct-horse-battery-staple\n")
    options = ("--admin-token-file", str(tokens))
    with running_dashboard(tmp_path / "uploads", *options) as (_, url):
        async with open_browser(tmp_path / "b", bypass_csp=True) as context:
            page = await context.new_page()
            await page.goto(url)
            field = page.get_by_label("Token of operators")
            await field.fill("wrong")
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("This token is not accepted.")).to_be_visible()
            await judge(page, "dashboard-token")
            await field.fill("correct-horse-battery-staple")
            await page.get_by_role("button", name="Look").click()
            await expect(page.locator("#connection")).to_have_text("Live")
            await expect(page.locator("body[data-shown]")).to_be_visible()
            await expect(field).to_be_hidden()
            await page.reload()
            await expect(page.locator("#connection")).to_have_text("Live")
            await expect(field).to_be_hidden()
