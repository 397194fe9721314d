"""Hooks over HTTP: how often, how long, how much, and what is never believed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from tests.support.hooks import AT, EVENT_ID, REQUEST, Receiver, event, receiving
from tusd_py.hooks.http import HttpHooks, HttpOptions
from tusd_py.hooks.payload import HookError, format_payload
from tusd_py.hooks.signing import Signer
from tusd_py.interfaces import HookReply, HookType
from tusd_py.protocol.errors import HookUnavailable

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
JSON = {"Content-Type": "application/json"}


@contextlib.asynccontextmanager
async def hooks_to(
    url: str, signer: Signer | None = None, **options: Any
) -> AsyncIterator[HttpHooks]:
    """Open hooks that lead to this URL; they wait for hardly anything."""
    given = {"backoff_s": 0.001, "timeout_s": 5.0, "attempt_timeout_s": 5.0} | options
    hooks = HttpHooks(HttpOptions(url=url, **given), signer=signer, clock=lambda: AT)
    await hooks.open()
    try:
        yield hooks
    finally:
        await hooks.close()


# --- what is sent


async def test_a_request_is_tusds() -> None:
    """POST of JSON to one URL, for every kind of hook, with nothing that could identify a user."""
    receiver = Receiver()
    async with receiving(receiver.handle) as url, hooks_to(url) as hooks:
        await hooks.call(event())
        await hooks.tell(event(HookType.POST_FINISH), "http")
    for (headers, content), kind in zip(
        receiver.requests, ["pre-create", "post-finish"], strict=True
    ):
        assert content.decode() == format_payload(event(HookType(kind)))
        assert headers["Content-Type"] == "application/json"
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Authorization", "X-Cat", "webhook-id", "Cookie"} & set(headers)


async def test_headers_are_forwarded_by_a_list() -> None:
    """A102: what is on the list is sent along with all its values; nothing else is."""
    receiver = Receiver()
    forward = ("X-Cat", "X-Missing")
    async with receiving(receiver.handle) as url, hooks_to(url, forward=forward) as hooks:
        await hooks.call(event())
        await hooks.call(replace(event(), request=None))
    (headers, _), (without, _) = receiver.requests
    assert headers["X-Cat"] == "a, b"
    assert not {"X-Missing", "Authorization"} & set(headers)
    assert "X-Cat" not in without


async def test_requests_are_signed() -> None:
    """A99: id, time and body as they are sent are signed; see test_signing for the receiver."""
    seen: list[tuple[str, str, str]] = []

    async def verify(request: web.Request) -> web.Response:
        body = await request.text()
        signature = request.headers["webhook-signature"]
        stamp = request.headers["webhook-timestamp"]
        seen.append((request.headers["webhook-id"], stamp, signature))
        assert signature == Signer([SECRET]).headers(EVENT_ID, body, AT)["webhook-signature"]
        return web.json_response({})

    async with receiving(verify) as url, hooks_to(url, Signer([SECRET])) as hooks:
        await hooks.call(event())
    assert seen[0][:2] == (EVENT_ID, str(int(AT)))


# --- how often


async def test_what_failed_is_sent_again_with_the_same_id() -> None:
    """5xx is tried again, up to the number of attempts; then the hook counts as unreachable."""
    receiver = Receiver()
    receiver.says["pre-create"] = 500
    signer = Signer([SECRET])
    async with receiving(receiver.handle) as url, hooks_to(url, signer, attempts=3) as hooks:
        with pytest.raises(HookUnavailable):
            await hooks.call(event())
        assert receiver.types == ["pre-create"] * 3
        assert {headers["webhook-id"] for headers, _ in receiver.requests} == {EVENT_ID}
        receiver.says["pre-create"] = 429
        with pytest.raises(HookUnavailable):
            await hooks.call(event())
    assert len(receiver.types) == 6


async def test_a_second_attempt_may_do() -> None:
    """One failure is not a refusal."""
    answers = [web.Response(status=503), web.json_response({"RejectUpload": True})]

    async def stumble(_: web.Request) -> web.Response:
        return answers.pop(0)

    async with receiving(stumble) as url, hooks_to(url) as hooks:
        assert await hooks.call(event()) == HookReply(reject=True)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 410])
async def test_what_is_refused_is_not_sent_again(status: int) -> None:
    """Other statuses will not change; they are failures all the same."""
    receiver = Receiver()
    receiver.says["pre-create"] = receiver.says["post-finish"] = status
    async with receiving(receiver.handle) as url, hooks_to(url) as hooks:
        with pytest.raises(HookError, match=str(status)):
            await hooks.call(event())
        with pytest.raises(HookError, match=str(status)):
            await hooks.tell(event(HookType.POST_FINISH), "http")
    assert receiver.types == ["pre-create", "post-finish"]


async def test_progress_is_sent_once() -> None:
    """What is old by the time of another attempt is not sent again."""
    receiver = Receiver()
    receiver.says["post-receive"] = 500
    async with receiving(receiver.handle) as url, hooks_to(url) as hooks:
        with pytest.raises(HookUnavailable):
            await hooks.call(event(HookType.POST_RECEIVE))
    assert receiver.types == ["post-receive"]


async def test_nobody_listens() -> None:
    """A port without a server is tried as often, and is a 503 in the end."""
    async with receiving(Receiver().handle) as url:
        pass
    async with hooks_to(url) as hooks:
        with pytest.raises(HookUnavailable):
            await hooks.call(event())


# --- what is never believed


async def test_redirects_are_not_followed() -> None:
    """A97: a hook cannot send us elsewhere."""
    inside = Receiver()
    async with receiving(inside.handle) as there:

        async def redirect(_: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": there, **JSON})

        async with receiving(redirect) as url, hooks_to(url) as hooks:
            with pytest.raises(HookError, match="307"):
                await hooks.call(event())
    assert inside.received == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        # realistic
        ({"Content-Type": "text/html"}, b"<h1>Log in to the hotel</h1>"),
        ({"Content-Type": "text/plain"}, b"{}"),
        ({}, b"{}"),
        (JSON, b""),
        (JSON, b"OK"),
        (JSON, b'{"RejectUpload": "no"}'),
        # synthetic
        (JSON, b"\x00" * 100),
        (JSON | {"Content-Encoding": "gzip"}, gzip.compress(b"{}", mtime=0)),
        (JSON | {"Content-Encoding": "br"}, b"{}"),
    ],
)
async def test_what_is_no_reply_is_no_consent(headers: dict[str, str], body: bytes) -> None:
    """2xx alone is no agreement: only JSON that can be understood is, as with tusd."""

    async def lie(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    async with receiving(lie) as url, hooks_to(url) as hooks:
        with pytest.raises(HookError):
            await hooks.call(event())


async def test_whoever_is_only_told_need_not_reply() -> None:
    """For post-hooks any 2xx will do."""

    async def acknowledge(_: web.Request) -> web.Response:
        return web.Response(status=204)

    async with receiving(acknowledge) as url, hooks_to(url) as hooks:
        await hooks.tell(event(HookType.POST_FINISH), "http")


async def test_a_bomb_stays_packed() -> None:
    """A98: a compressed reply is refused, not unpacked."""
    bomb = gzip.compress(json.dumps({"HTTPResponse": {"Body": "0" * 50_000_000}}).encode())

    async def explode(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers=JSON | {"Content-Encoding": "gzip"})

    async with receiving(explode) as url, hooks_to(url, reply_bytes=1 << 20) as hooks:
        with pytest.raises(HookError, match="compressed"):
            await hooks.call(event())


async def test_a_reply_that_never_ends_is_cut() -> None:
    """A98: of ten gigabytes little more than the limit is read, and the connection is closed."""
    sent, closed = 0, asyncio.Event()

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers=JSON | {"Content-Length": str(10 * 2**30)})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(10 * 1024):
                await response.write(b" " * 2**20)
                sent += 2**20
        closed.set()
        return response

    async with receiving(pour) as url, hooks_to(url, reply_bytes=5120) as hooks:
        with pytest.raises(HookError, match="too long"):
            await hooks.call(event())
        async with asyncio.timeout(5):
            await closed.wait()
    assert sent < 64 * 2**20  # what fits into the buffers of two sockets


@pytest.mark.parametrize("length", [5119, 5120, 5121])
async def test_the_limit_is_exact(length: int) -> None:
    """A reply of as many bytes as allowed is read."""

    async def fill(_: web.Request) -> web.Response:
        return web.Response(body=b"{}".ljust(length), headers=JSON)

    async with receiving(fill) as url, hooks_to(url) as hooks:
        if length <= 5120:
            assert await hooks.call(event()) == HookReply()
        else:
            with pytest.raises(HookError):
                await hooks.call(event())


Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def behaving(behave: Behave) -> AsyncIterator[str]:
    """Serve raw connections; yields the URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Never answer."""
    await reader.read()
    await reader.read()


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a byte at a time."""
    with contextlib.suppress(ConnectionError):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)


async def lie_about_the_length(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer less than was said."""
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}"
    )


async def talk_nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak another protocol."""
    writer.write(b"220 smtp.example.org ESMTP\r\n")


async def split(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a head that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")


@pytest.mark.parametrize("behave", [hang, drip])
@pytest.mark.parametrize("limit", ["timeout_s", "attempt_timeout_s"])
async def test_time_is_limited(behave: Behave, limit: str) -> None:
    """A98: neither silence nor a trickle holds anybody up beyond either limit."""
    options: dict[str, Any] = {limit: 0.2, "attempts": 2, "reply_bytes": 10**6}
    async with behaving(behave) as url, hooks_to(url, **options) as hooks:
        with pytest.raises(HookUnavailable):
            await hooks.call(event())


@pytest.mark.parametrize("behave", [lie_about_the_length, talk_nonsense, split])
async def test_broken_http_is_no_consent(behave: Behave) -> None:
    """Whatever comes over the wire, it is not taken for a reply."""
    async with behaving(behave) as url, hooks_to(url) as hooks:
        with pytest.raises((HookUnavailable, HookError)):
            await hooks.call(event())


async def test_errors_tell_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """A102: neither secret nor credentials are in an error, or in the log."""
    signer = Signer([SECRET])
    async with receiving(Receiver().handle) as url:
        pass
    url = url.replace("http://", "http://user:pa55@")
    async with hooks_to(url, signer) as hooks:
        with pytest.raises(HookUnavailable) as failure:
            await hooks.call(event())
    chain = [failure.value, failure.value.__cause__]
    told = caplog.text + "".join(f"{error}{error!r}" for error in chain)
    assert REQUEST.headers["Authorization"] == ["Bearer t"]
    assert all(secret not in told for secret in (SECRET, "Bearer t", "pa55"))
