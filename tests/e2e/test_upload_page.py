"""The upload page in a real browser, against a real server, on good networks and bad ones."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Route, expect

from tests.support.browser import need_browser, open_browser, shoot
from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from .conftest import StartServer
from .samples import MB, Sample, Samples
from .stored import assert_stored, files_in, sha256_of
from .upload_page import UploadPage, crash, listening_port, only_upload, page_of, remembered

pytestmark = [pytest.mark.usefixtures("browser_there"), pytest.mark.timeout(400)]

# One red pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
HALF = Cut(after_bytes=40 * MB, ending=Ending.HOLD)


@pytest.fixture(scope="module")
def browser_there() -> None:
    """Makes sure that there is a browser, and something to look at."""
    need_browser()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[BrowserContext]:
    """A browser that knows nothing yet."""
    async with open_browser(tmp_path / "profile") as context:
        yield context


async def test_a_dropped_file_arrives_unchanged(
    browser: BrowserContext, fresh_server: Server, samples: Samples
) -> None:
    """A file that is dropped on the page arrives, and is linked to."""
    sample = samples.of(2 * MB)
    page = await UploadPage.open(browser, page_of(fresh_server.url))
    await _drop(page, sample.path)
    await page.button("Upload 1 file").click()
    await page.completed()
    url = only_upload(fresh_server)
    await assert_stored(fresh_server, url, sample)
    link = page.items.get_by_role("link").first
    assert await link.get_attribute("href") == url
    assert page.violations == []


async def _drop(page: UploadPage, path: Path) -> None:
    """Drop a file on the page, as if it came from the desktop."""
    chosen = await page.page.evaluate_handle(
        """() => {
            const input = document.createElement('input')
            input.type = 'file'
            return document.body.appendChild(input)
        }"""
    )
    element = chosen.as_element()
    assert element is not None
    await element.set_input_files(path)
    dropped = await page.page.evaluate_handle(
        """(input) => {
            const transfer = new DataTransfer()
            transfer.items.add(input.files[0])
            input.remove()
            return transfer
        }""",
        chosen,
    )
    for event in ("dragenter", "dragover", "drop"):
        at = page.page.locator(".uppy-Dashboard-dropFilesHereHint, .uppy-Dashboard").first
        await at.dispatch_event(event, {"dataTransfer": dropped})


async def test_79_megabytes_arrive_unchanged(
    browser: BrowserContext, fresh_server: Server, video: Sample
) -> None:
    """A video is dropped, goes in one request of the page, and is the same on the server."""
    async with ChaosProxy(fresh_server.port) as proxy:
        page = await UploadPage.open(browser, page_of(proxy.url_of(fresh_server.url)))
        await shoot(page.page, "empty")
        await _drop(page, video.path)
        await expect(page.items).to_have_count(1)
        await shoot(page.page, "chosen")
        await page.button("Upload 1 file").click()
        await page.completed()
        await shoot(page.page, "complete")
        patches = [each for each in proxy.requests if each.method == "PATCH"]
        assert [each.body_bytes for each in patches] == [video.size]
    await assert_stored(fresh_server, only_upload(fresh_server), video)
    assert page.violations == []


async def test_it_resumes_where_the_network_was_cut(
    browser: BrowserContext, fresh_server: Server, video: Sample
) -> None:
    """A connection that is reset in the middle costs nothing that had arrived."""
    cuts = [Cut(after_bytes=30 * MB, ending=Ending.RST), Cut(after_bytes=0, ending=Ending.RST)]
    async with ChaosProxy(fresh_server.port, cuts) as proxy:
        page = await UploadPage.open(browser, page_of(proxy.url_of(fresh_server.url)))
        await page.upload(video.path)
        await page.completed()
        await expect(page.state).to_be_empty()
        assert len(proxy.cut_offs) == 2
        last = proxy.requests[-1]
        assert (last.method, last.offset > 0) == ("PATCH", True)
        assert last.offset + last.body_bytes == video.size
    await assert_stored(fresh_server, only_upload(fresh_server), video)


async def test_it_says_that_it_waits_while_there_is_no_network(
    browser: BrowserContext, fresh_server: Server, video: Sample
) -> None:
    """Without a network the page says that it waits, and goes on when there is one again."""
    async with ChaosProxy(fresh_server.port, [HALF]) as proxy:
        page = await UploadPage.open(browser, page_of(proxy.url_of(fresh_server.url)))
        await page.upload(video.path)
        await proxy.wait_cut_offs()
        await shoot(page.page, "uploading")
        await browser.set_offline(True)
        proxy.drop()
        await expect(page.state).to_contain_text("Connection lost: waiting to resume")
        await shoot(page.page, "offline")
        await browser.set_offline(False)
        await page.completed()
        await expect(page.state).to_be_empty()
        assert proxy.requests[-1].offset == HALF.after_bytes
    await assert_stored(fresh_server, only_upload(fresh_server), video)


async def test_a_closed_page_resumes_when_it_is_opened_again(
    browser: BrowserContext, fresh_server: Server, video: Sample
) -> None:
    """The page remembers its files, so a closed tab costs nothing that had arrived."""
    async with ChaosProxy(fresh_server.port, [HALF]) as proxy:
        url = page_of(proxy.url_of(fresh_server.url))
        page = await UploadPage.open(browser, url)
        await page.upload(video.path)
        await proxy.wait_cut_offs()
        await page.kept(1)
        await page.page.close()
        page = await UploadPage.open(browser, url)
        await expect(page.page.get_by_text("Your files are here again")).to_be_visible()
        await shoot(page.page, "restored")
        await page.page.locator(".uppy-StatusBar-actionBtn--upload").click()
        await page.completed()
        assert proxy.requests[-1].offset == HALF.after_bytes
    await assert_stored(fresh_server, only_upload(fresh_server), video)


async def test_a_crashed_browser_resumes(
    tmp_path: Path, fresh_server: Server, video: Sample
) -> None:
    """A browser that died without a word finds its files and the upload again."""
    profile = tmp_path / "profile"
    async with ChaosProxy(fresh_server.port, [HALF]) as proxy:
        url = page_of(proxy.url_of(fresh_server.url))
        async with open_browser(profile) as browser:
            page = await UploadPage.open(browser, url)
            await page.upload(video.path)
            await proxy.wait_cut_offs()
            await page.kept(1)
            await remembered(profile)
            await crash(browser, page.page)
        async with open_browser(profile) as browser:
            page = await UploadPage.open(browser, url)
            await page.page.locator(".uppy-StatusBar-actionBtn--upload").click()
            await page.completed()
        assert proxy.requests[-1].offset == HALF.after_bytes
    await assert_stored(fresh_server, only_upload(fresh_server), video)


async def test_pause_and_resume(
    browser: BrowserContext, fresh_server: Server, video: Sample
) -> None:
    """A paused upload is left by its client, and goes on from where it was."""
    async with ChaosProxy(fresh_server.port, [HALF]) as proxy:
        page = await UploadPage.open(browser, page_of(proxy.url_of(fresh_server.url)))
        await page.upload(video.path)
        await proxy.wait_cut_offs()
        await page.button("Pause").click()
        await expect(page.page.locator(".uppy-StatusBar-statusPrimary")).to_contain_text("Paused")
        await shoot(page.page, "paused")
        await page.button("Resume").click()
        await page.completed()
        assert proxy.requests[-1].offset == HALF.after_bytes
    await assert_stored(fresh_server, only_upload(fresh_server), video)


async def test_cancel_removes_the_upload(
    browser: BrowserContext, fresh_server: Server, video: Sample
) -> None:
    """What is cancelled is gone from the page and from the server."""
    async with ChaosProxy(fresh_server.port, [HALF]) as proxy:
        page = await UploadPage.open(browser, page_of(proxy.url_of(fresh_server.url)))
        await page.upload(video.path)
        await proxy.wait_cut_offs()
        async with page.page.expect_response(lambda a: a.request.method == "DELETE") as answer:
            await page.page.locator(".uppy-StatusBar-actionCircleBtn[title=Cancel]").click()
        assert (await answer.value).status == 204
        await expect(page.items).to_have_count(0)
    assert files_in(fresh_server) == set()


async def test_what_failed_is_retried_with_one_click(
    browser: BrowserContext, start_server: StartServer, samples: Samples
) -> None:
    """A refusal is told in words that say what to do; after that, retry goes on."""
    server = start_server()
    sample = samples.of(2 * MB)
    page = await UploadPage.open(browser, page_of(server.url))
    refused = {"status": 403, "body": "ERR_FORBIDDEN: not today", "content_type": "text/plain"}
    await page.page.route("**/files/", lambda route: route.fulfill(**refused), times=1)
    await page.upload(sample.path)
    await expect(page.problems).to_have_text(
        [f"{sample.path.name} You may not upload this here: ask those who run the server."]
    )
    await shoot(page.page, "failed")
    await page.button("Retry upload").click()
    await page.completed()
    await expect(page.problems).to_have_count(0)
    await assert_stored(server, only_upload(server), sample)


async def test_it_waits_for_a_busy_server(
    browser: BrowserContext, fresh_server: Server, samples: Samples
) -> None:
    """While the server turns it away, the page says so and tries again by itself."""
    sample = samples.of(2 * MB)
    page = await UploadPage.open(browser, page_of(fresh_server.url))
    busy = True

    async def answer(route: Route) -> None:
        if busy:
            await route.fulfill(status=503, body="ERR_TOO_MANY_CONNECTIONS: try again")
        else:
            await route.continue_()

    await page.page.route("**/files/", answer)
    await page.upload(sample.path)
    await expect(page.state).to_contain_text("The server is busy: waiting to resume")
    await shoot(page.page, "busy")
    busy = False
    await page.completed()
    await expect(page.state).to_be_empty()
    await assert_stored(fresh_server, only_upload(fresh_server), sample)


async def test_what_the_server_would_refuse_is_not_sent(
    browser: BrowserContext, start_server: StartServer, samples: Samples
) -> None:
    """Too large and of the wrong type are said before a byte is sent; the right one is taken."""
    limits = ("--max-size", "3MB", "--allowed-types", "image/*", "--allowed-extensions", "png,jpg")
    server = start_server(*limits)
    page = await UploadPage.open(browser, page_of(server.url))
    await expect(page.page.locator("#limits")).to_contain_text("Up to 2.9 MB each. Only .png, .jpg")
    large = {"name": "large.png", "mimeType": "image/png", "buffer": bytes(4 * MB)}
    await page.add(samples.of(2 * MB).path)
    await page.add(large)
    await expect(page.problems).to_have_text(
        [
            "video-2000000.mp4 It is the wrong type of file: choose image files.",
            "large.png It is too large: choose a file of at most 2.9 MB.",
        ]
    )
    await shoot(page.page, "refused")
    await page.button("Dismiss").click()
    await expect(page.problems).to_have_count(0)
    await page.upload({"name": "right.png", "mimeType": "image/png", "buffer": PNG})
    await page.completed()
    assert len(files_in(server)) == 2  # one upload and its record


async def test_five_files_at_once(
    browser: BrowserContext, fresh_server: Server, samples: Samples
) -> None:
    """Many files are chosen together; small ones take one request each, larger ones two."""
    sizes = [5 * MB, 4 * MB, 3 * MB, 65_536, 10]
    files = [samples.of(size) for size in sizes]
    async with ChaosProxy(fresh_server.port) as proxy:
        page = await UploadPage.open(browser, page_of(proxy.url_of(fresh_server.url)))
        await page.upload(*(file.path for file in files))
        await page.completed()
        await expect(page.items).to_have_count(5)
        await shoot(page.page, "five")
        methods = [each.method for each in proxy.requests]
        assert (methods.count("POST"), methods.count("PATCH")) == (5, 3)
    uploads = {name for name in files_in(fresh_server) if not name.endswith(".info")}
    stored = {sha256_of(fresh_server.upload_dir / name) for name in uploads}
    assert stored == {file.sha256 for file in files}


async def test_large_files_go_in_chunks_if_the_server_says_so(
    browser: BrowserContext, start_server: StartServer, samples: Samples
) -> None:
    """With a chunk size in the settings no request is larger than that."""
    server = start_server("--pages-chunk-size", "2MB")
    sample = samples.of(5 * MB)
    async with ChaosProxy(server.port) as proxy:
        page = await UploadPage.open(browser, page_of(proxy.url_of(server.url)))
        await page.upload(sample.path)
        await page.completed()
        bodies = [each.body_bytes for each in proxy.requests if each.method == "PATCH"]
        assert bodies == [2 * MB, 2 * MB, MB]
    await assert_stored(server, only_upload(server), sample)


async def test_the_page_may_be_of_another_origin(
    browser: BrowserContext, start_server: StartServer, video: Sample
) -> None:
    """A page of one server uploads to another one, as its settings say."""
    target = start_server()
    front = start_server("--base-path", target.url)
    page = await UploadPage.open(browser, f"http://127.0.0.1:{listening_port(front)}/")
    await page.upload(video.path)
    await page.completed()
    await assert_stored(target, only_upload(target), video)
    assert files_in(front) == set()
    assert page.violations == []


async def test_a_server_that_wants_a_token(
    browser: BrowserContext, start_server: StartServer, samples: Samples, tmp_path: Path
) -> None:
    """Without the token it says what to do; with it, retry uploads the file."""
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[token]]\nowner = "anna"\ntoken = "correct-horse-battery-staple"\n')
    server = start_server("--auth-tokens-file", str(tokens))
    page = await UploadPage.open(browser, page_of(server.url))
    await page.upload(samples.of(2 * MB).path)
    await expect(page.problems).to_contain_text(["enter a valid access token, then retry"])
    await shoot(page.page, "token")
    await page.page.get_by_role("textbox", name="Access token").fill("correct-horse-battery-staple")
    await page.button("Retry upload").click()
    await page.completed()
    assert page.violations == []


async def test_a_file_that_was_not_kept_is_asked_for_and_resumes(
    browser: BrowserContext, fresh_server: Server, video: Sample
) -> None:
    """What is too large for the browser's store is chosen again, but not sent again."""
    async with ChaosProxy(fresh_server.port, [HALF]) as proxy:
        url = page_of(proxy.url_of(fresh_server.url))
        page = await UploadPage.open(browser, url)
        await page.upload(video.path)
        await proxy.wait_cut_offs()
        await page.kept(1)
        await page.forget_files()
        await page.page.close()
        page = await UploadPage.open(browser, url)
        await expect(page.page.get_by_text("One file is too large to be kept")).to_be_visible()
        await shoot(page.page, "asked-again")
        await page.button("Choose again").click()
        await page.add(video.path)
        await page.page.locator(".uppy-StatusBar-actionBtn--upload").click()
        await page.completed()
        assert proxy.requests[-1].offset == HALF.after_bytes
    await assert_stored(fresh_server, only_upload(fresh_server), video)


async def test_it_can_be_used_without_a_mouse(
    browser: BrowserContext, fresh_server: Server, samples: Samples
) -> None:
    """The tabulator key leads to choosing files and to uploading them, Enter does it."""
    sample = samples.of(2 * MB)
    page = await UploadPage.open(browser, page_of(fresh_server.url))
    await page.choose_by_key(sample.path)
    await expect(page.items).to_have_count(1)
    await page.tab_to("Upload 1 file")
    await page.page.keyboard.press("Enter")
    await page.completed()
    await assert_stored(fresh_server, only_upload(fresh_server), sample)
