"""The publisher: is told by signed webhook that a video is complete, and moves it to its place.

It is a program of its own: while it is down, uploads go on, and it is told of them later.
"""

import asyncio
import contextlib
import hashlib
import logging
import mimetypes
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError
from videos import FOLDER, SETTINGS, catalogue, token_for
from yarl import URL

assert SETTINGS.hooks_http is not None
assert SETTINGS.hooks_http_secret_file is not None
ENDPOINT = URL(SETTINGS.hooks_http)
WEBHOOK = Webhook(SETTINGS.hooks_http_secret_file.read_text().strip())
UPLOADS = URL.build(scheme="http", host="127.0.0.1", port=SETTINGS.port, path=SETTINGS.base_path)

# A client that has lost the last answer comes back to ask, and must not find the upload gone.
KEEP_S = float(os.environ.get("VIDEO_KEEP_S", "3600"))
LOOK_AFTER_S = min(KEEP_S, 60)
BLOCK_BYTES = 1024 * 1024

_log = logging.getLogger("publish")
_one_at_a_time = threading.Lock()


async def hook(request: web.Request) -> web.Response:
    """Take an event; if this raises, it comes again later."""
    try:
        payload = WEBHOOK.verify(await request.text(), dict(request.headers))
    except WebhookVerificationError:
        raise web.HTTPUnauthorized from None
    if payload["Type"] == "post-finish":
        await asyncio.to_thread(publish, payload["Event"])
    else:
        note(payload["Type"], payload["Event"])
    return web.json_response({})


def publish(event: dict[str, Any]) -> None:
    """Bring a finished upload to its place, once, however often we are told of it."""
    upload, metadata = event["Upload"], event["Upload"]["MetaData"]
    file = upload["ID"] + (mimetypes.guess_extension(metadata["filetype"]) or "")
    with _one_at_a_time:
        with catalogue() as database:
            if database.execute("SELECT 1 FROM videos WHERE event = ?", [event["ID"]]).fetchone():
                return
        sha256 = copy(Path(upload["Storage"]["Path"]), FOLDER / file)
        if sha256 != upload["Digests"]["sha256"]:
            (FOLDER / file).unlink()
            raise ValueError(f"what was copied is not {file} as it was received")
        with catalogue() as database:
            row = upload["ID"], event["ID"], upload["Owner"], metadata.get("filename")
            row += upload["Size"], sha256, file, time.time(), False
            database.execute("INSERT INTO videos VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    _log.info("published %s of %s, SHA-256 %s", file, upload["Owner"], sha256)


def copy(source: Path, target: Path) -> str:
    """Copy a file, which appears when it is whole and on disk; return its SHA-256."""
    unfinished = target.with_name("unfinished")
    digest = hashlib.sha256()
    with source.open("rb") as taken, unfinished.open("wb") as given:
        while block := taken.read(BLOCK_BYTES):
            digest.update(block)
            given.write(block)
        given.flush()
        os.fsync(given.fileno())
    unfinished.replace(target)
    return digest.hexdigest()


def note(what: str, event: dict[str, Any]) -> None:
    """Keep what went wrong with an upload, for its owner to see."""
    upload = event["Upload"]
    row = event["ID"], upload["Owner"], upload["MetaData"].get("filename"), event["Cause"] or what
    row += upload["Offset"], upload["Size"], event["Time"]
    with catalogue() as database:
        database.execute("INSERT OR IGNORE INTO troubles VALUES (?, ?, ?, ?, ?, ?, ?)", row)


async def remove_published(session: aiohttp.ClientSession) -> None:
    """Remove the uploads of what was published a while ago, as their owners could."""
    with catalogue() as database:
        query = "SELECT id, owner FROM videos WHERE NOT upload_removed AND published_at < ?"
        old = database.execute(query, [time.time() - KEEP_S]).fetchall()
    for video in old:
        bearer = {"Authorization": f"Bearer {token_for(video['owner'])}", "Tus-Resumable": "1.0.0"}
        async with session.delete(UPLOADS / video["id"], headers=bearer) as answer:
            if answer.status not in {204, 404, 410}:
                continue  # another time
        with catalogue() as database:
            database.execute("UPDATE videos SET upload_removed = 1 WHERE id = ?", [video["id"]])


async def removing(_: web.Application) -> AsyncIterator[None]:
    """Remove what is no longer needed for as long as the publisher runs."""

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):  # the site is down
                    await remove_published(session)
                await asyncio.sleep(LOOK_AFTER_S)

    task = asyncio.create_task(run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    publisher = web.Application()
    publisher.router.add_post(ENDPOINT.path, hook)
    publisher.cleanup_ctx.append(removing)
    web.run_app(publisher, host=ENDPOINT.host, port=ENDPOINT.port)
