"""The example that all this began with: a video site, and uploads that used to die of time-outs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support import contents
from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.hooks import receiving

from . import tusjs
from .conftest import NoteFigure
from .memory import watched
from .samples import MB, MIB, VIDEO_BYTES, Sample, Samples
from .stored import id_of, sha256_of
from .video_platform import EXAMPLE, Platform, User, block, eventually

pytestmark = [pytest.mark.usefixtures("tus_js", "uppy"), pytest.mark.timeout(300)]

GIB = 1024 * MIB
MOST_GROWTH = 60 * MIB
LARGER = 300 * MB
REFUSED = "415, response text: ERR_FILE_TYPE_NOT_ALLOWED: "
LIES = f"{REFUSED}the file is not what its name and filetype say"
NO_VIDEO = f"{REFUSED}Upload-Metadata must have a filetype that is accepted: video/*"
TOO_LARGE = "413, response text: ERR_MAX_SIZE_EXCEEDED: the upload may have at most 1073741824"


@pytest.fixture(scope="module")
def uppy() -> None:
    """Makes sure that what the page needs is there."""
    if not (EXAMPLE / "node_modules/uppy").is_dir():
        pytest.fail("Uppy is missing: run `make e2e`", pytrace=False)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """The example, not running yet; what is not delivered is soon tried again."""
    return Platform(tmp_path / "platform", {"TUSD_PY_HOOKS_HTTP_RETRY": "1"})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """Files that begin like videos."""
    made = Samples(tmp_path_factory.mktemp("videos"), begin=contents.MP4)
    yield made
    made.remove()


@pytest.fixture
def film(videos: Samples) -> Sample:
    """The file that could not be uploaded."""
    return videos.of(VIDEO_BYTES)


def options_of(user: User, sample: Sample, **more: Any) -> dict[str, Any]:
    """Return what the page would tell tus-js-client."""
    metadata = {"filename": "holiday.mp4", "filetype": "video/mp4", "sha256": sample.sha256}
    return {"metadata": metadata, "headers": user.headers, **more}


async def upload(platform: Platform, user: User, sample: Sample, **more: Any) -> tusjs.Report:
    """Upload a video with tus-js-client."""
    return await tusjs.upload(platform.endpoint, sample.path, **options_of(user, sample, **more))


LARGE = [pytest.mark.large, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(VIDEO_BYTES, id="79 MB"),
        pytest.param(LARGER, id="300 MB"),
        pytest.param(GIB, id="1 GiB, all that is allowed", marks=LARGE),
    ],
)
async def test_a_video_is_cut_resumed_and_published(
    platform: Platform, videos: Samples, note_figure: NoteFigure, tmp_path: Path, size: int
) -> None:
    """It goes on at the byte where it was cut, arrives unchanged, and takes next to no memory."""
    film = videos.of(size)
    point = size // 2 + 1
    with platform.app() as app, platform.publisher():
        async with platform.signed_in("anna") as anna:
            async with ChaosProxy(
                platform.port, [Cut(after_bytes=point, ending=Ending.FIN)]
            ) as proxy:
                first = tusjs.Job(
                    endpoint=proxy.url_of(platform.endpoint),
                    path=film.path,
                    options=options_of(anna, film),
                    storage=tmp_path / "urls.json",
                )
                with watched(app) as memory:
                    (cut,) = await tusjs.run(first)
                    (report,) = await tusjs.run(replace(first, resume=True))
            assert (cut.outcome, report.outcome) == ("error", "success")
            assert [e.offset for e in report.of("HEAD")] == [point]
            assert sum(report.accepted) == size - point
            (video,) = await anna.videos(1)
            assert (video["size"], video["sha256"]) == (film.size, film.sha256)
            async with anna.session.get(f"/videos/{video['id']}") as answer:
                assert answer.content_type == "video/mp4"
                assert hashlib.sha256(await answer.read()).hexdigest() == film.sha256
            (trouble,) = await anna.troubles(1)
            assert (trouble["offset"], trouble["size"]) == (point, size)
    (published,) = platform.published
    assert (published.stat().st_size, sha256_of(published)) == (film.size, film.sha256)
    note_figure(f"grew by {memory.grown / MIB:.1f} MiB")
    assert memory.grown < MOST_GROWTH


async def test_a_site_that_was_killed_goes_on(
    platform: Platform, film: Sample, tmp_path: Path
) -> None:
    """What had arrived is there when it is back, and the rest follows."""
    point = film.size // 2
    cuts = [Cut(after_bytes=point, ending=Ending.HOLD)]
    async with ChaosProxy(platform.port, cuts) as proxy:
        with platform.app() as app:
            async with platform.signed_in("anna") as anna:
                job = tusjs.Job(
                    endpoint=proxy.url_of(platform.endpoint),
                    path=film.path,
                    options=options_of(anna, film),
                    storage=tmp_path / "urls.json",
                )
            async with tusjs.TusJs([job]):
                await proxy.wait_cut_offs(1)
                app.process.kill()
                app.process.wait()
        with platform.app(), platform.publisher():
            (report,) = await tusjs.run(replace(job, resume=True))
            async with platform.signed_in("anna") as anna:
                (video,) = await anna.videos(1)
    (found,) = report.of("HEAD")
    # What the killed process had read and not yet written is sent again.
    assert 0 < (found.offset or 0) <= point
    assert sum(report.accepted) == film.size - (found.offset or 0)
    assert video["sha256"] == film.sha256


async def test_nobody_sees_the_videos_of_others(platform: Platform, film: Sample) -> None:
    """Complete or not, published or not: to everybody else it is not there."""
    with platform.app(), platform.publisher():
        async with platform.signed_in("anna") as anna, platform.signed_in("berta") as berta:
            url = (await upload(platform, anna, film)).url
            (video,) = await anna.videos(1)
            missing = url[: -len(id_of(url))] + "0" * 32
            append = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
            for target in (url, missing, f"{platform.site}/videos/{video['id']}"):
                methods = ("HEAD", "GET") if "/videos/" in target else ("HEAD", "GET", "DELETE")
                assert {await berta.status(method, target) for method in methods} == {404}
            assert await berta.status("PATCH", url, **append) == 404
            for part in (url, missing):
                joined = {"Upload-Concat": f"final;{part}"}
                assert await berta.status("POST", platform.endpoint, **joined) == 404
            assert await berta.catalogue() == {"videos": [], "troubles": []}
            assert await anna.status("HEAD", url) == 200
        async with aiohttp.ClientSession() as nobody:
            for target in (url, f"{platform.site}/videos", f"{platform.site}/videos/{video['id']}"):
                async with nobody.get(target) as answer:
                    assert answer.status == 401
            wrong = {"name": "anna", "password": ""}
            async with nobody.post(f"{platform.site}/login", data=wrong) as answer:
                assert answer.status == 403


async def test_what_is_no_video_is_refused(platform: Platform, tmp_path: Path) -> None:
    """By what it says of itself, by its first bytes, and by its size, each in a clear sentence."""
    program = tmp_path / "film.mp4"
    program.write_bytes(contents.EXE + bytes(MB))
    huge = tmp_path / "huge.mp4"
    with huge.open("wb") as file:
        file.write(contents.MP4)
        file.truncate(GIB + 1)
    with platform.app() as app:
        async with platform.signed_in("anna") as anna:
            for path, filetype, method, refusal in (
                (program, "video/mp4", "PATCH", LIES),
                (program, "application/x-msdownload", "POST", NO_VIDEO),
                (huge, "video/mp4", "POST", TOO_LARGE),
            ):
                metadata = {"filename": path.name, "filetype": filetype}
                report = await tusjs.upload(
                    platform.endpoint, path, metadata=metadata, headers=anna.headers
                )
                assert report.outcome == "error"
                assert report.methods[-1] == method
                assert refusal in (report.error or "")
    assert platform.uploads == set()
    log = app.log.read_text()
    assert "code=ERR_FILE_TYPE_NOT_ALLOWED" in log
    assert "code=ERR_MAX_SIZE_EXCEEDED" in log
    assert anna.headers["Authorization"] not in log


async def test_a_damaged_video_is_not_published(platform: Platform, film: Sample) -> None:
    """What arrives is compared with what was declared, and its owner sees what went wrong."""
    sent_by_mistake = replace(film, sha256=hashlib.sha256(b"another film").hexdigest())
    with platform.app(), platform.publisher():
        async with platform.signed_in("anna") as anna:
            report = await upload(platform, anna, sent_by_mistake)
            assert report.outcome == "error"
            assert "460, response text: ERR_CHECKSUM_MISMATCH" in (report.error or "")
            assert await anna.status("HEAD", report.url) == 410
            (trouble,) = await anna.troubles(1)
            assert trouble["what"] == "ERR_CHECKSUM_MISMATCH"
            assert await anna.videos(0) == []
    assert platform.published == []


async def test_what_is_never_finished_is_removed(
    platform: Platform, film: Sample, tmp_path: Path
) -> None:
    """An upload that nobody goes on with leaves nothing behind, and its owner is told."""
    platform.env["TUSD_PY_EXPIRE_AFTER"] = "2s"
    with platform.app(), platform.publisher():
        async with platform.signed_in("anna") as anna:
            cuts = [Cut(after_bytes=MB, ending=Ending.FIN)]
            async with ChaosProxy(platform.port, cuts) as proxy:
                job = tusjs.Job(
                    endpoint=proxy.url_of(platform.endpoint),
                    path=film.path,
                    options=options_of(anna, film),
                )
                (report,) = await tusjs.run(job)
            assert report.outcome == "error"
            await eventually(lambda: not platform.uploads)
            assert await anna.status("HEAD", platform.endpoint + id_of(report.url)) == 404
            assert (await anna.troubles(2))[0]["what"] == "post-expire"
            assert await anna.videos(0) == []


async def test_a_publisher_that_is_down_misses_nothing(platform: Platform, videos: Samples) -> None:
    """What is uploaded meanwhile is published when it is back, even if the site was killed."""
    films = [videos.of(MB + number) for number in range(3)]
    with platform.app() as app:
        async with platform.signed_in("anna") as anna:
            for film in films:
                assert (await upload(platform, anna, film)).outcome == "success"
            assert await anna.videos(0) == []
        app.process.kill()
        app.process.wait()
    with platform.app(), platform.publisher():
        async with platform.signed_in("anna") as anna:
            found = await anna.videos(len(films))
    assert {video["sha256"] for video in found} == {film.sha256 for film in films}


async def test_a_webhook_counts_once_and_only_if_it_is_signed(
    platform: Platform, videos: Samples
) -> None:
    """A replay changes nothing, and neither does what somebody else made up."""
    film = videos.of(MB)
    told: list[tuple[dict[str, str], bytes]] = []
    publisher_url = platform.hooks_url

    async def listen_in(request: web.Request) -> web.Response:
        kept = {name: value for name, value in request.headers.items() if name != "Host"}
        told.append((kept, await request.read()))
        async with aiohttp.ClientSession() as session:
            return web.Response(status=await send(session, *told[-1]))

    async def send(session: aiohttp.ClientSession, headers: dict[str, str], body: bytes) -> int:
        async with session.post(publisher_url, headers=headers, data=body) as answer:
            return answer.status

    async with receiving(listen_in) as url:
        platform.hooks_url = url
        with platform.app(), platform.publisher():
            async with platform.signed_in("anna") as anna, aiohttp.ClientSession() as session:
                await upload(platform, anna, film)
                before = await anna.videos(1)
                (file,) = platform.published
                written = file.stat()
                ((headers, body),) = told
                assert await send(session, headers, body) == 200
                forged = json.loads(body)
                forged["Event"]["Upload"]["Owner"] = "berta"
                forged["Event"]["ID"] = "made up"
                unsigned = {k: v for k, v in headers.items() if k.lower() != "webhook-signature"}
                assert await send(session, headers, json.dumps(forged).encode()) == 401
                assert await send(session, unsigned, body) == 401
                assert await anna.videos(1) == before
    assert platform.published == [file]
    assert os.stat(file).st_mtime_ns == written.st_mtime_ns
    assert os.stat(file).st_ino == written.st_ino


async def test_what_is_published_is_kept_a_while_as_an_upload(
    platform: Platform, videos: Samples
) -> None:
    """So that a client that has lost the last answer finds it; then only the video is left."""
    film = videos.of(MB)
    with platform.app():
        async with platform.signed_in("anna") as anna:
            with platform.publisher():
                report = await upload(platform, anna, film)
                await anna.videos(1)
                assert await anna.status("HEAD", report.url) == 200
            with platform.publisher(VIDEO_KEEP_S="0.05"):
                await eventually(lambda: not platform.uploads)
    (published,) = platform.published
    assert sha256_of(published) == film.sha256


def test_the_script_of_the_readme(
    platform: Platform, videos: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the README has for scripts uploads a video."""
    film = videos.of(MB)
    (platform.folder / "holiday.mp4").write_bytes(film.read())
    monkeypatch.chdir(platform.folder)
    with platform.app():
        script = block("upload").replace("http://127.0.0.1:8080", platform.site)
        exec(script, {})  # noqa: S102 - our own example
    (data,) = (name for name in platform.uploads if "." not in name)
    assert sha256_of(platform.folder / "data/uploads" / data) == film.sha256
