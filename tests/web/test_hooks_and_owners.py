"""The application's say over HTTP: hooks that refuse or change, and who may see what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from tusd_py import (
    Access,
    Forbidden,
    HookEvent,
    HookReply,
    Operation,
    Unauthorized,
    UploadRejected,
)

from .serving import PATCH, V, memory_app

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
FIVE = V | {"Upload-Length": "5"}


async def new_upload(client: Client, **fields: str) -> str:
    """Create an upload and return its path."""
    answer = await client.post("/", headers=FIVE | fields)
    assert answer.status == 201, await answer.text()
    return URL(answer.headers["Location"]).path


# --- hooks


async def test_a_hook_can_refuse_a_creation(aiohttp_client: MakeClient) -> None:
    """What pre-create raises is the answer, and nothing is created."""
    seen: list[HookEvent] = []

    async def refuse(event: HookEvent) -> None:
        seen.append(event)
        raise UploadRejected("no cats today")

    client = await aiohttp_client(memory_app(hooks={"pre-create": refuse}))
    answer = await client.post("/", headers=FIVE | {"X-Cat": "yes", "User-Agent": "a"})
    assert (answer.status, await answer.text()) == (400, "ERR_UPLOAD_REJECTED: no cats today\n")
    assert "Location" not in answer.headers
    (event,) = seen
    assert event.request is not None
    assert (event.request.method, event.request.uri) == ("POST", "/")
    assert event.request.headers["X-Cat"] == ["yes"]
    assert event.request.remote == "127.0.0.1"
    assert (await client.head(f"/{event.upload.id}", headers=V)).status == 404


async def test_a_hook_can_name_and_describe_an_upload(aiohttp_client: MakeClient) -> None:
    """Id and metadata of pre-create take the place of ours and the client's."""

    def rename(event: HookEvent) -> HookReply:
        return HookReply(id="cats/tom-1", metadata={"filename": "tom.jpg", "owner": ""})

    client = await aiohttp_client(memory_app(hooks={"pre-create": rename}))
    path = await new_upload(client, **{"Upload-Metadata": "filename eA=="})
    assert path == "/cats/tom-1"
    answer = await client.head(path, headers=V)
    assert answer.headers["Upload-Metadata"] == "filename dG9tLmpwZw==,owner"
    at = {"Upload-Offset": "0"}
    assert (await client.patch(path, headers=PATCH | at, data=b"hello")).status == 204
    assert await (await client.get(path)).read() == b"hello"


@pytest.mark.parametrize("name", ["../x", "", ".x", "x.info", "a b", "x" * 201])
async def test_an_id_that_is_none_is_the_hook_s_fault(
    aiohttp_client: MakeClient, name: str
) -> None:
    """An id that a client could not ask for is refused from a hook, too."""

    def rename(event: HookEvent) -> HookReply:
        return HookReply(id=name)

    client = await aiohttp_client(memory_app(hooks={"pre-create": rename}))
    assert (await client.post("/", headers=FIVE)).status == 500


async def test_hooks_follow_the_life_of_an_upload(aiohttp_client: MakeClient) -> None:
    """Each hook is called once, in order, with the upload as it stands then."""
    seen: list[tuple[str, int]] = []

    def note(event: HookEvent) -> None:
        seen.append((event.type.value, event.upload.offset))

    async def note_later(event: HookEvent) -> None:
        note(event)

    all_told = asyncio.Event()

    async def note_last(event: HookEvent) -> None:
        note(event)
        all_told.set()

    hooks = {
        "pre-create": note,
        "post-create": note_later,
        "pre-finish": note_later,
        "post-finish": note,
        "pre-terminate": note,
        "post-terminate": note_last,
    }
    client = await aiohttp_client(memory_app(hooks=hooks))
    path = await new_upload(client)
    at = {"Upload-Offset": "0"}
    assert (await client.patch(path, headers=PATCH | at, data=b"hello")).status == 204
    end = {"Upload-Offset": "5"}
    assert (await client.patch(path, headers=PATCH | end)).status == 204
    assert (await client.head(path, headers=V)).status == 200
    assert (await client.delete(path, headers=V)).status == 204
    async with asyncio.timeout(5):  # the client need not wait for it
        await all_told.wait()
    assert seen == [
        ("pre-create", 0),
        ("post-create", 0),
        ("pre-finish", 5),
        ("post-finish", 5),
        ("pre-terminate", 5),
        ("post-terminate", 5),
    ]


async def test_a_hook_can_keep_an_upload_from_being_removed(aiohttp_client: MakeClient) -> None:
    """What pre-terminate raises is the answer to DELETE, and the upload stays."""

    def refuse(event: HookEvent) -> None:
        raise Forbidden("keep it")

    client = await aiohttp_client(memory_app(hooks={"pre-terminate": refuse}))
    path = await new_upload(client)
    answer = await client.delete(path, headers=V)
    assert (answer.status, await answer.text()) == (403, "ERR_FORBIDDEN: keep it\n")
    assert (await client.head(path, headers=V)).status == 200


@pytest.mark.parametrize("hook", ["pre-create", "pre-finish", "pre-terminate"])
@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), ConnectionResetError("secret")])
async def test_a_hook_that_fails_is_our_fault(
    aiohttp_client: MakeClient, caplog: pytest.LogCaptureFixture, hook: str, error: Exception
) -> None:
    """Whatever a blocking hook raises by mistake is 500, logged, and not told to the client."""

    def fail(event: HookEvent) -> None:
        raise error

    client = await aiohttp_client(memory_app(hooks={hook: fail}))
    answer = await client.post("/", headers=FIVE)
    if hook != "pre-create":
        path = URL(answer.headers["Location"]).path
        if hook == "pre-finish":
            at = {"Upload-Offset": "0"}
            answer = await client.patch(path, headers=PATCH | at, data=b"hello")
        else:
            answer = await client.delete(path, headers=V)
    assert answer.status == 500
    assert await answer.text() == "ERR_INTERNAL_SERVER_ERROR: The server failed; try again.\n"
    assert "secret" in caplog.text


@pytest.mark.parametrize("hook", ["post-create", "post-finish", "post-terminate"])
async def test_what_comes_after_has_no_say(aiohttp_client: MakeClient, hook: str) -> None:
    """A post-hook that fails changes no answer."""

    async def fail(event: HookEvent) -> None:
        raise UploadRejected

    client = await aiohttp_client(memory_app(hooks={hook: fail}))
    path = await new_upload(client)
    at = {"Upload-Offset": "0"}
    assert (await client.patch(path, headers=PATCH | at, data=b"hello")).status == 204
    assert (await client.delete(path, headers=V)).status == 204


async def test_after_a_refused_finish_head_does_not_claim_success(
    aiohttp_client: MakeClient,
) -> None:
    """While pre-finish refuses, no client is told that all went well."""
    refusals = [UploadRejected("not yet"), UploadRejected("not yet")]

    def refuse(event: HookEvent) -> None:
        if refusals:
            raise refusals.pop()

    client = await aiohttp_client(memory_app(hooks={"pre-finish": refuse}))
    path = await new_upload(client)
    at = {"Upload-Offset": "0"}
    assert (await client.patch(path, headers=PATCH | at, data=b"hello")).status == 400
    assert (await client.head(path, headers=V)).status == 400
    answer = await client.head(path, headers=V)
    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "5")


def test_a_hook_that_nobody_calls_is_a_mistake() -> None:
    """A name that is no hook's is refused at once."""
    with pytest.raises(ValueError, match="pre-creation"):
        memory_app(hooks={"pre-creation": print})


# --- who may do what


async def by_token(access: Access) -> str | None:
    """Take the token for the owner; none and a bad one are refused, a guest may only look."""
    (token,) = access.request.headers.get("Authorization") or [""]
    if not token:
        raise Unauthorized
    if token == "guest" and access.operation is not Operation.CREATE:  # noqa: S105 - a name
        raise Forbidden
    return token


ANN, BOB = {"Authorization": "ann"}, {"Authorization": "bob"}


@pytest.fixture
async def shared(aiohttp_client: MakeClient) -> Client:
    """A client of an application that many people use."""
    return await aiohttp_client(memory_app(authorize=by_token))


def requests_on(path: str) -> list[tuple[str, dict[str, str], bytes]]:
    """Return every request that can be made on an upload."""
    return [
        ("HEAD", V, b""),
        ("GET", {}, b""),
        ("PATCH", PATCH | {"Upload-Offset": "0"}, b"hello"),
        ("PATCH", PATCH | {"Upload-Offset": "9"}, b"hello"),
        ("DELETE", V, b""),
        ("POST", V | {"X-HTTP-Method-Override": "DELETE"}, b""),
    ]


async def test_to_others_an_upload_looks_missing(shared: Client) -> None:
    """A52: to whoever does not own it, an upload answers like one that is not there."""
    path = await new_upload(shared, **ANN)
    for method, headers, data in requests_on(path):
        theirs = await shared.request(method, path, headers=headers | BOB, data=data)
        nobodys = await shared.request(method, "/missing", headers=headers | BOB, data=data)
        assert theirs.status == nobodys.status == 404
        assert await theirs.text() == await nobodys.text()
        assert set(theirs.headers) == set(nobodys.headers)
    answer = await shared.head(path, headers=V | ANN)
    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "0")


async def test_without_a_token_nothing_is_told(shared: Client) -> None:
    """A refusal of authorisation is the answer, before anything is looked at."""
    path = await new_upload(shared, **ANN)
    for method, headers, data in requests_on(path):
        answer = await shared.request(method, path, headers=headers, data=data)
        missing = await shared.request(method, "/missing", headers=headers, data=data)
        assert answer.status == missing.status == 401
    assert (await shared.post("/", headers=FIVE)).status == 401
    assert (await shared.options(path)).status == 200  # browsers send none with a preflight


async def test_who_may_not_ask_cannot_tell_what_there_is(shared: Client) -> None:
    """A51: without a token, a missing upload answers like one that is there, word for word."""
    path = await new_upload(shared, **ANN)
    for method, headers, data in requests_on(path):
        theirs = await shared.request(method, path, headers=headers, data=data)
        nobodys = await shared.request(method, f"/{'0' * 32}", headers=headers, data=data)
        assert theirs.status == nobodys.status == 401
        assert await theirs.text() == await nobodys.text()
        assert set(theirs.headers) == set(nobodys.headers)


async def test_missing_and_foreign_uploads_take_the_same_steps(
    aiohttp_client: MakeClient,
) -> None:
    """A51: for both, one record is looked for and the application is asked once: no more tells."""
    asked: list[tuple[Operation, bool]] = []

    async def note(access: Access) -> str | None:
        asked.append((access.operation, access.upload is None))
        return await by_token(access)

    client = await aiohttp_client(memory_app(authorize=note))
    path = await new_upload(client, **ANN)
    asked.clear()
    for method, headers, data in requests_on(path):
        for place in (path, f"/{'0' * 32}"):
            answer = await client.request(method, place, headers=headers | BOB, data=data)
            assert answer.status == 404
    assert [operation for operation, _ in asked[::2]] == [operation for operation, _ in asked[1::2]]
    assert [missing for _, missing in asked] == [False, True] * 6


async def test_a_permission_can_be_refused(shared: Client) -> None:
    """Forbidden is 403, for what is forbidden only."""
    guest = {"Authorization": "guest"}
    path = await new_upload(shared, **guest)
    assert (await shared.head(path, headers=V | guest)).status == 403


async def test_others_cannot_join_an_upload(shared: Client) -> None:
    """A60: the parts of somebody else look missing, and their owner can join them."""
    partial = {"Upload-Concat": "partial"}
    hers = await new_upload(shared, **ANN, **partial)
    his = await new_upload(shared, **BOB, **partial)
    for path, who in ((hers, ANN), (his, BOB)):
        headers = PATCH | who | {"Upload-Offset": "0"}
        assert (await shared.patch(path, headers=headers, data=b"hello")).status == 204
    for parts in (hers, f"{his} {hers}", f"{hers} {his}"):
        concat = {"Upload-Concat": f"final;{parts}"}
        assert (await shared.post("/", headers=V | BOB | concat)).status == 404
    concat = {"Upload-Concat": f"final;{hers} {hers}"}
    answer = await shared.post("/", headers=V | ANN | concat)
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "10")
    final = URL(answer.headers["Location"]).path
    assert (await shared.get(final, headers=BOB)).status == 404
    assert await (await shared.get(final, headers=ANN)).read() == b"hellohello"


async def test_a_permission_that_is_withdrawn_ends_an_upload(aiohttp_client: MakeClient) -> None:
    """A53: each request is asked about anew; what was stored before stays."""
    allowed = {"ann"}

    async def authorize(access: Access) -> str | None:
        if not allowed:
            raise Forbidden
        return "ann"

    client = await aiohttp_client(memory_app(authorize=authorize))
    path = await new_upload(client)
    at = {"Upload-Offset": "0"}
    assert (await client.patch(path, headers=PATCH | at, data=b"he")).status == 204
    allowed.clear()
    at = {"Upload-Offset": "2"}
    assert (await client.patch(path, headers=PATCH | at, data=b"llo")).status == 403
    allowed.add("ann")
    assert (await client.head(path, headers=V)).headers["Upload-Offset"] == "2"


async def test_head_never_tells_of_a_fault_of_ours(
    aiohttp_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """tus-js-client starts over after a 5xx on HEAD, so it is told to wait; the log has it all."""

    async def fail(access: Access) -> str | None:
        if access.operation is Operation.INSPECT:
            raise ZeroDivisionError
        return None

    client = await aiohttp_client(memory_app(authorize=fail))
    path = await new_upload(client)
    assert (await client.head(path, headers=V)).status == 423
    override = V | {"X-HTTP-Method-Override": "HEAD"}
    for method in ("POST", "GET", "PATCH"):
        assert (await client.request(method, path, headers=override)).status == 423
    assert "ZeroDivisionError" in caplog.text


async def test_authorisation_comes_before_the_body(shared: Client) -> None:
    """A3a: who is not let in is not asked to send anything."""
    path = await new_upload(shared, **ANN)
    sent: list[bytes] = []

    async def body() -> Any:
        sent.append(b"hello")
        yield b"hello"

    headers = PATCH | {"Upload-Offset": "0", "Expect": "100-continue"}
    answer = await shared.patch(path, headers=headers, data=body(), expect100=True)
    assert (answer.status, sent) == (401, [])
