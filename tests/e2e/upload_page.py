"""The upload page as its user sees it: what can be pressed, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import BrowserContext, Error, Locator, Page, expect
from playwright.async_api import TimeoutError as TookTooLong

from tests.support.browser import PATIENCE_MS, listen
from tests.support.server import Server

from .stored import files_in

expect.set_options(timeout=PATIENCE_MS)

# Golden Retriever's stores: the files themselves, and what Uppy knew of them.
_KEPT = """async (count) => {
    const asked = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
    })
    const db = await asked(indexedDB.open('uppy-blobs'))
    try {
        if (!db.objectStoreNames.contains('metadata')) return false
        const stores = db.transaction(['files', 'metadata'])
        const blobs = await asked(stores.objectStore('files').count())
        const known = await asked(stores.objectStore('metadata').getAll())
        const urls = known.flatMap(({ metadata }) => metadata.match(/"uploadUrl":"/g) ?? [])
        return blobs === count && urls.length === count
    } finally {
        db.close()
    }
}"""

_FORGET = """async () => {
    const db = await new Promise((resolve, reject) => {
        const request = indexedDB.open('uppy-blobs')
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
    })
    const change = db.transaction('files', 'readwrite')
    change.objectStore('files').clear()
    await new Promise((resolve) => { change.oncomplete = resolve })
    db.close()
}"""
_MOST_TABS = 20
_MOST_TRIES = 5
_A_MOMENT_MS = 5000


class UploadPage:
    """An open upload page.

    Attributes:
        violations: of its security policy; there must be none.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.violations = listen(page)

    @classmethod
    async def open(cls, context: BrowserContext, url: str) -> UploadPage:
        """Open it in a new tab, and wait until files can be added."""
        opened = cls(await context.new_page())
        await opened.page.goto(url)
        await expect(opened.page.locator(".uppy-Dashboard-inner")).to_be_visible()
        return opened

    @property
    def state(self) -> Locator:
        """What it waits for."""
        return self.page.locator("#state")

    @property
    def problems(self) -> Locator:
        """What went wrong, a line for each file."""
        return self.page.locator("#problems li")

    @property
    def items(self) -> Locator:
        """The files, one element each."""
        return self.page.locator(".uppy-Dashboard-Item")

    def button(self, name: str) -> Locator:
        """Return the button with this text or label."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def add(self, *files: Path | dict[str, Any]) -> None:
        """Choose files as in the browser's dialog."""
        chosen: Sequence[Any] = files
        await self.page.locator("input.uppy-Dashboard-input").first.set_input_files(chosen)

    async def upload(self, *files: Path | dict[str, Any]) -> None:
        """Choose files, and press the button that uploads them."""
        await self.add(*files)
        label = re.compile(r"Upload \d+ files?")
        await self.page.get_by_role("button", name=label).click()

    async def completed(self) -> None:
        """Wait until everything has been uploaded."""
        await expect(self.page.locator(".uppy-StatusBar.is-complete")).to_be_visible()

    async def kept(self, count: int) -> None:
        """Wait until the browser has stored that many files, and the URLs of their uploads."""
        await self.page.wait_for_function(_KEPT, arg=count)

    async def forget_files(self) -> None:
        """Remove the stored files, as if they had been too large to be stored."""
        await self.page.evaluate(_FORGET)

    async def tab_to(self, name: str) -> None:
        """Press the tabulator key until the button with this name has the focus."""
        target = self.button(name)
        await expect(target).to_be_visible()
        for _ in range(_MOST_TABS):
            if await target.evaluate("(element) => element === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the tabulator key does not lead to {name}")

    async def choose_by_key(self, path: Path) -> None:
        """Press Enter on "browse files" and choose that file.

        While the page still draws itself the key may go nowhere; then it is pressed again.
        """
        for _ in range(_MOST_TRIES):
            await self.tab_to("browse files")
            with contextlib.suppress(TookTooLong):
                async with self.page.expect_file_chooser(timeout=_A_MOMENT_MS) as chooser:
                    await self.page.keyboard.press("Enter")
                await (await chooser.value).set_files(path)
                return
        raise AssertionError("Enter opens no choice of files")


async def remembered(profile: Path) -> None:
    """Wait until the browser has written down where an upload is.

    It tells pages of their local storage before that is in a file, and a crash forgets the rest.
    """
    folder = profile / "Default/Local Storage/leveldb"

    def is_written() -> bool:
        return any(b"tus::" in log.read_bytes() for log in folder.glob("*.log"))

    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not is_written():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.05)


async def crash(context: BrowserContext, page: Page) -> None:
    """End the browser as a power cut would."""
    session = await context.new_cdp_session(page)
    with contextlib.suppress(Error):  # nobody is left to answer
        await session.send("Browser.crash")


def listening_port(server: Server) -> int:
    """Return the port of a server that announces the URL of another one."""
    (port,) = {
        connection.laddr.port
        for connection in psutil.Process(server.process.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    return int(port)


def page_of(url: str) -> str:
    """Return the URL of the page of a server, from that of its uploads."""
    return url.removesuffix("files/")


def only_upload(server: Server) -> str:
    """Return the URL of the only upload that a server has."""
    (name,) = {name for name in files_in(server) if not name.endswith(".info")}
    return server.url + name
