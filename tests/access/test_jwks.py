"""A key set at a URL, served by a real server that a test can break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tusd_py.access.jwks import KeysAtUrl
from tusd_py.protocol.errors import AuthorizationUnavailable

from .making import Clock, jwk, jwks, rsa_key

SOON_S = 5.0


class Issuer:
    """Serves a key set, and counts how often it is asked."""

    def __init__(self) -> None:
        self.body = jwks(jwk(rsa_key(0), kid="r0"))
        self.status = 200
        self.asked = 0
        self.reached = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()

    async def answer(self, _: web.Request) -> web.Response:
        """Answer as the test has said."""
        self.asked += 1
        self.reached.set()
        await self.answering.wait()
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        return web.Response(body=self.body, status=self.status, headers=headers)


@pytest.fixture
def issuer() -> Issuer:
    """An issuer with one key."""
    return Issuer()


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture
async def keys(issuer: Issuer, clock: Clock) -> AsyncIterator[KeysAtUrl]:
    """The key set of the issuer."""
    app = web.Application()
    app.router.add_get("/{_:.*}", issuer.answer)
    async with TestServer(app) as server:
        found = KeysAtUrl(str(server.make_url("/keys")), clock=clock)
        yield found
        await found.close()


async def find(keys: KeysAtUrl, kid: str | None) -> Sequence[Any]:
    """Look for a key, for a few seconds at most."""
    async with asyncio.timeout(SOON_S):
        return await keys.find("RS256", kid)


async def wait_fetched(keys: KeysAtUrl) -> None:
    """Wait until nothing is being fetched."""
    if keys._fetching is not None:
        await asyncio.wait([keys._fetching], timeout=SOON_S)


async def test_the_set_is_fetched_once(keys: KeysAtUrl, issuer: Issuer) -> None:
    """By the first token, for all that come meanwhile and later."""
    found = await asyncio.gather(*(find(keys, "r0") for _ in range(10)))
    assert [len(each) for each in found] == [1] * 10
    assert len(await find(keys, None)) == 1
    assert issuer.asked == 1


async def test_a_new_key_is_found_within_a_minute(
    keys: KeysAtUrl, issuer: Issuer, clock: Clock
) -> None:
    """A key that is not in the set is looked for anew, but not for every token that claims one."""
    await find(keys, "r0")
    issuer.body = jwks(jwk(rsa_key(0), kid="r0"), jwk(rsa_key(1), kid="r1"))
    for _ in range(20):
        assert not await find(keys, "r1")
    assert issuer.asked == 1
    clock.now += 60
    assert len(await find(keys, "r1")) == 1
    for number in range(20):
        assert not await find(keys, f"made up {number}")
    assert issuer.asked == 2


async def test_a_set_is_renewed_while_it_serves(
    keys: KeysAtUrl, issuer: Issuer, clock: Clock
) -> None:
    """After ten minutes it is fetched again, and nobody waits for that."""
    await find(keys, "r0")
    issuer.answering.clear()
    issuer.body = jwks(jwk(rsa_key(1), kid="r1"))
    clock.now += 600
    assert len(await find(keys, "r0")) == 1
    issuer.answering.set()
    await wait_fetched(keys)
    assert len(await find(keys, "r1")) == 1
    assert not await find(keys, "r0")


@pytest.mark.parametrize("fault", ["down", "moved", "nonsense", "endless"])
async def test_an_issuer_that_cannot_be_asked(
    keys: KeysAtUrl, issuer: Issuer, clock: Clock, fault: str
) -> None:
    """A fault of ours, never of the client; an old set serves for a day, and not for longer."""
    good = issuer.body

    def break_it() -> None:
        issuer.status = {"down": 503, "moved": 302}.get(fault, 200)
        issuer.body = {"nonsense": b"<html>", "endless": b" " * 300_000}.get(fault, good)

    break_it()
    for _ in range(5):
        with pytest.raises(AuthorizationUnavailable):
            await find(keys, "r0")
    assert issuer.asked == 1
    issuer.status, issuer.body = 200, good
    clock.now += 5
    assert len(await find(keys, "r0")) == 1
    break_it()
    clock.now += 24 * 3600 - 1
    assert len(await find(keys, "r0")) == 1
    await wait_fetched(keys)
    clock.now += 60
    with pytest.raises(AuthorizationUnavailable):
        await find(keys, "r0")


async def test_who_leaves_does_not_stop_it_for_others(keys: KeysAtUrl, issuer: Issuer) -> None:
    """The client that caused the fetch hangs up; the next one gets the answer."""
    issuer.answering.clear()
    first = asyncio.create_task(find(keys, "r0"))
    second = asyncio.create_task(find(keys, "r0"))
    await asyncio.wait_for(issuer.reached.wait(), SOON_S)
    first.cancel()
    await asyncio.wait([first])
    issuer.answering.set()
    assert len(await second) == 1
    assert issuer.asked == 1


async def test_closing_ends_what_is_being_fetched(keys: KeysAtUrl, issuer: Issuer) -> None:
    """The server does not wait for an issuer that does not answer."""
    issuer.answering.clear()
    waiting = asyncio.create_task(find(keys, "r0"))
    await asyncio.wait_for(issuer.reached.wait(), SOON_S)
    await keys.close()
    with pytest.raises(AuthorizationUnavailable):
        await waiting
    issuer.answering.set()
