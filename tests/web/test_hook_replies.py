"""What hooks want of an answer or an upload, as the client sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from tests.support.hooks import Commands, Receiver, receiving
from tusd_py import HookEvent, HookReply, ResponseChange, Settings, create_app

from .serving import PATCH, V, memory_app

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
FIVE = V | {"Upload-Length": "5"}
AT0 = PATCH | {"Upload-Offset": "0"}


def replying(reply: HookReply) -> Callable[[HookEvent], HookReply]:
    """Return a hook that always says the same."""
    return lambda _: reply


async def create(client: Client) -> str:
    """Create an upload of five bytes and return its path."""
    answer = await client.post("/", headers=FIVE)
    assert "Location" in answer.headers, await answer.text()
    return URL(answer.headers["Location"]).path


def names_below(folder: Path) -> set[str]:
    """Return the names of all files and folders."""
    return {path.name for path in folder.rglob("*")}


# --- refusals


async def test_a_refusal_is_answered_as_the_hook_wants(aiohttp_client: MakeClient) -> None:
    """Status, body and headers take the place of ours; nothing was created."""
    change = ResponseChange(status=402, body='{"pay": 1}', headers={"X-Pay": "yes"})
    reply = HookReply(reject=True, response=change)
    client = await aiohttp_client(memory_app(hooks={"pre-create": replying(reply)}))
    answer = await client.post("/", headers=FIVE)
    assert (answer.status, await answer.text()) == (402, '{"pay": 1}')
    assert answer.headers["X-Pay"] == "yes"
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert "Location" not in answer.headers


async def test_a_plain_refusal_is_tusds(aiohttp_client: MakeClient) -> None:
    """Whoever only rejects gets tusd's code and status, and keeps what he does not change."""
    change = ResponseChange(headers={"Content-Type": "application/json"}, body="{}")
    for reply, body, kind in (
        (
            HookReply(reject=True),
            "ERR_UPLOAD_REJECTED: Upload creation has been rejected by the server.\n",
            "text/plain; charset=utf-8",
        ),
        (HookReply(reject=True, response=change), "{}", "application/json"),
    ):
        client = await aiohttp_client(memory_app(hooks={"pre-create": replying(reply)}))
        answer = await client.post("/", headers=FIVE)
        assert (answer.status, await answer.text()) == (400, body)
        assert answer.headers["Content-Type"] == kind


@pytest.mark.parametrize("status", [200, 204, 302, 99, 1000])
async def test_a_refusal_never_looks_like_success(aiohttp_client: MakeClient, status: int) -> None:
    """A status that is none of an error is left out."""
    reply = HookReply(reject=True, response=ResponseChange(status=status))
    client = await aiohttp_client(memory_app(hooks={"pre-create": replying(reply)}))
    assert (await client.post("/", headers=FIVE)).status == 400


@pytest.mark.parametrize(
    ("method", "headers"),
    [("HEAD", V), ("GET", {}), ("PATCH", AT0), ("DELETE", V), ("POST", V)],
)
async def test_access_can_be_refused(
    aiohttp_client: MakeClient, method: str, headers: dict[str, str]
) -> None:
    """Pre-access is asked before each verb, with the upload; a refusal changes nothing."""
    seen: list[tuple[str | None, str]] = []
    open_for_all = False

    def guard(event: HookEvent) -> HookReply | None:
        seen.append((event.operation, event.upload.id))
        refusal = ResponseChange(status=401, headers={"WWW-Authenticate": "Bearer"})
        return None if open_for_all else HookReply(reject=True, response=refusal)

    client = await aiohttp_client(memory_app(hooks={"pre-access": guard}))
    partial = {"Upload-Concat": "partial"}
    answer = await client.post("/", headers=FIVE | partial)
    path = URL(answer.headers["Location"]).path
    assert seen == []
    target = "/" if method == "POST" else path
    if method == "POST":
        headers = headers | {"Upload-Concat": f"final;{path}"}
    answer = await client.request(method, target, headers=headers, data=b"hello")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    operations = {
        "HEAD": "inspect",
        "GET": "fetch",
        "PATCH": "append",
        "DELETE": "terminate",
        "POST": "concatenate",
    }
    assert seen == [(operations[method], path[1:])]
    open_for_all = True
    assert (await client.head(path, headers=V)).headers["Upload-Offset"] == "0"


async def test_head_is_spared_a_5xx_of_a_hook(aiohttp_client: MakeClient) -> None:
    """tus-js-client starts over after a 5xx on HEAD; a hook's 503 is told as 423, too."""
    reply = HookReply(reject=True, response=ResponseChange(status=503))
    client = await aiohttp_client(memory_app(hooks={"pre-access": replying(reply)}))
    path = await create(client)
    assert (await client.head(path, headers=V)).status == 423
    assert (await client.patch(path, headers=AT0, data=b"hello")).status == 503


async def test_a_termination_can_be_refused(aiohttp_client: MakeClient) -> None:
    """RejectTermination keeps the upload."""
    reply = HookReply(reject=True, response=ResponseChange(headers={"X-No": "1"}))
    client = await aiohttp_client(memory_app(hooks={"pre-terminate": replying(reply)}))
    path = await create(client)
    answer = await client.delete(path, headers=V)
    assert (answer.status, answer.headers["X-No"]) == (400, "1")
    assert (await answer.text()).startswith("ERR_UPLOAD_TERMINATION_REJECTED: ")
    assert (await client.head(path, headers=V)).status == 200


# --- changes of what succeeds


async def test_answers_of_success_can_be_changed(aiohttp_client: MakeClient) -> None:
    """201 and both 204 take status, body and headers; what the protocol says stays."""

    def say(status: int | None, body: str | None, name: str) -> Callable[[HookEvent], HookReply]:
        ours = {"Upload-Offset": "77", "Location": "http://evil/", "Tus-Resumable": "9"}
        change = ResponseChange(status=status, body=body, headers={name: "1", **ours})
        return replying(HookReply(response=change))

    hooks = {
        "pre-create": say(299, "hi", "X-Create"),
        "pre-finish": say(200, "done", "X-Finish"),
        "pre-terminate": say(None, "no room for this", "X-Terminate"),
    }
    client = await aiohttp_client(memory_app(hooks=hooks))
    answer = await client.post("/", headers=FIVE)
    assert (answer.status, await answer.text()) == (299, "hi")
    assert (answer.headers["X-Create"], answer.headers["Upload-Offset"]) == ("1", "0")
    path = URL(answer.headers["Location"]).path
    answer = await client.patch(path, headers=AT0, data=b"hello")
    assert (answer.status, await answer.text()) == (200, "done")
    assert (answer.headers["X-Finish"], answer.headers["Upload-Offset"]) == ("1", "5")
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    answer = await client.delete(path, headers=V)
    assert (answer.status, await answer.read()) == (204, b"")
    assert answer.headers["X-Terminate"] == "1"


async def test_two_hooks_of_one_request_are_merged(aiohttp_client: MakeClient) -> None:
    """A POST that completes the upload hears of pre-create and pre-finish."""
    hooks = {
        "pre-create": replying(
            HookReply(response=ResponseChange(status=299, headers={"A": "1", "B": "1"}))
        ),
        "pre-finish": replying(HookReply(response=ResponseChange(body="x", headers={"B": "2"}))),
    }
    client = await aiohttp_client(memory_app(hooks=hooks))
    answer = await client.post("/", headers=PATCH | FIVE, data=b"hello")
    assert (answer.status, await answer.text()) == (299, "x")
    assert (answer.headers["A"], answer.headers["B"]) == ("1", "2")


async def test_an_error_is_not_dressed_as_success(aiohttp_client: MakeClient) -> None:
    """What a hook wanted of an answer counts only if there is such an answer."""
    hooks = {
        "pre-create": replying(HookReply(response=ResponseChange(status=299, body="ok"))),
        "pre-finish": replying(HookReply(reject=True)),
    }
    client = await aiohttp_client(memory_app(hooks=hooks))
    answer = await client.post("/", headers=PATCH | FIVE, data=b"hello")
    assert answer.status == 400
    assert (await answer.text()).startswith("ERR_UPLOAD_REJECTED: ")


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "a\r\nSet-Cookie: b=c"}, {"X A": "1"}, {"X-A\r\n": "1"}, {"": "1"}, {"X-A": "\x00"}],
)
@pytest.mark.parametrize("reject", [True, False])
async def test_headers_cannot_be_smuggled(
    aiohttp_client: MakeClient,
    headers: dict[str, str],
    reject: bool,  # noqa: FBT001
) -> None:
    """A101: what is no header is a fault of the hook: 500, and nothing is created."""
    reply = HookReply(id="tom", reject=reject, response=ResponseChange(headers=headers))
    client = await aiohttp_client(memory_app(hooks={"pre-create": replying(reply)}))
    answer = await client.post("/", headers=FIVE)
    assert answer.status == 500
    assert "Set-Cookie" not in answer.headers
    assert (await client.head("/tom", headers=V)).status == 404


async def test_what_is_no_text_is_found_in_time(aiohttp_client: MakeClient) -> None:
    """Half a surrogate pair cannot be sent; that is known before anything is created."""
    half = "\ud800"
    for change in (ResponseChange(body=half), ResponseChange(headers={"X-A": half})):
        reply = HookReply(id="tom", response=change)
        client = await aiohttp_client(memory_app(hooks={"pre-create": replying(reply)}))
        assert (await client.post("/", headers=FIVE)).status == 500
        assert (await client.head("/tom", headers=V)).status == 404


@pytest.mark.parametrize("name", ["Connection", "transfer-encoding", "Content-Length", "TE"])
async def test_framing_is_not_theirs(aiohttp_client: MakeClient, name: str) -> None:
    """Headers of the connection are left out, and the next request finds all well."""
    reply = HookReply(response=ResponseChange(headers={name: "3", "X-A": "1"}))
    client = await aiohttp_client(memory_app(hooks={"pre-create": replying(reply)}))
    for _ in range(2):
        answer = await client.post("/", headers=FIVE)
        assert (answer.status, answer.headers["X-A"]) == (201, "1")
        assert await answer.read() == b""


# --- what is created


async def test_a_taken_id_is_not_given_again(aiohttp_client: MakeClient) -> None:
    """A101, tusd#787: the upload that has the id stays as it is."""
    client = await aiohttp_client(memory_app(hooks={"pre-create": replying(HookReply(id="tom"))}))
    assert await create(client) == "/tom"
    assert (await client.patch("/tom", headers=AT0, data=b"he")).status == 204
    assert (await client.post("/", headers=FIVE)).status == 500
    assert (await client.head("/tom", headers=V)).headers["Upload-Offset"] == "2"


@pytest.mark.parametrize("metadata", [{"a b": "1"}, {"": "1"}, {"a,b": ""}, {"k": "x" * 9000}])
async def test_metadata_of_a_hook_is_checked(
    aiohttp_client: MakeClient, metadata: dict[str, str]
) -> None:
    """A101: what a client could not send is the hook's fault."""
    reply = HookReply(metadata=metadata)
    client = await aiohttp_client(memory_app(hooks={"pre-create": replying(reply)}))
    assert (await client.post("/", headers=FIVE)).status == 500


async def test_bytes_can_have_a_place(aiohttp_client: MakeClient, tmp_path: Path) -> None:
    """A storage path below the upload directory: bytes there, the record by the id."""
    reply = HookReply(id="tom", storage_path="users/Jo Doe/caf\u00e9.mp4")
    settings = Settings(upload_dir=tmp_path / "up")
    client = await aiohttp_client(create_app(settings, hooks={"pre-create": replying(reply)}))
    path = await create(client)
    assert (await client.patch(path, headers=AT0, data=b"hello")).status == 204
    file = tmp_path / "up/users/Jo Doe/caf\u00e9.mp4"
    assert file.read_bytes() == b"hello"
    assert (tmp_path / "up/tom.info").exists()
    assert await (await client.get(path)).read() == b"hello"
    assert (await client.post("/", headers=FIVE)).status == 500  # the place is taken
    assert file.read_bytes() == b"hello"
    assert (await client.delete(path, headers=V)).status == 204
    assert not file.exists()


@pytest.mark.parametrize(
    "place",
    [
        # realistic
        *("../x", "/etc/x", "a/../../x", "./x", "a//b", "a/", ""),
        # synthetic
        *("x.info", "a/.tusd_py", ".hidden", "a,1-ff", "a\x00b", "a\nb", "a\\b", "x" * 201),
        "0" * 32,
    ],
)
async def test_no_place_is_outside(aiohttp_client: MakeClient, tmp_path: Path, place: str) -> None:
    """A101: a path that leads out, or to what the server keeps, is the hook's fault."""
    reply = HookReply(storage_path=place)
    settings = Settings(upload_dir=tmp_path / "up")
    client = await aiohttp_client(create_app(settings, hooks={"pre-create": replying(reply)}))
    before = names_below(tmp_path)
    assert (await client.post("/", headers=FIVE)).status == 500
    assert names_below(tmp_path) == before


# --- through real transports


def shared(name: str, where: str | Path, **more: Any) -> Settings:
    """Return settings for one transport, all events on."""
    return Settings(**{name: where}, hooks_enabled_events="all", hooks_http_backoff=0.001, **more)


async def finish_refused_then_granted(
    client: Client, refuse: Callable[[bool], None], status: int
) -> None:
    """The last byte does not look complete before the hook has agreed, see clients.md 2.6."""
    path = await create(client)
    refuse(True)
    answer = await client.patch(path, headers=AT0, data=b"hello")
    assert answer.status == status
    for _ in range(2):
        answer = await client.head(path, headers=V)
        assert answer.status in (400, 423)
        assert "Upload-Offset" not in answer.headers
    refuse(False)
    answer = await client.head(path, headers=V)
    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "5")


@pytest.mark.parametrize("how", ["refuses", "fails"])
async def test_a_finish_is_repeated_over_http(aiohttp_client: MakeClient, how: str) -> None:
    """Pre-finish over HTTP: refused with 400, or unreachable with 503; then asked again."""
    receiver = Receiver()
    failure: Any = 500 if how == "fails" else {"RejectUpload": True}

    def refuse(yes: bool) -> None:  # noqa: FBT001
        receiver.says["pre-finish"] = failure if yes else {}

    async with receiving(receiver.handle) as url:
        app = memory_app(shared("hooks_http", url))
        client = await aiohttp_client(app)
        await finish_refused_then_granted(client, refuse, 503 if how == "fails" else 400)
        await client.close()
    times = 3 if how == "fails" else 1  # three attempts for each time that it is asked
    assert receiver.types.count("pre-finish") == 3 * times + 1


@pytest.mark.parametrize("how", ["refuses", "fails"])
async def test_a_finish_is_repeated_by_commands(
    aiohttp_client: MakeClient, tmp_path: Path, how: str
) -> None:
    """Pre-finish as a command: refused with 400, or an exit code with 500; then asked again."""
    commands = Commands(tmp_path / "hooks")

    def refuse(yes: bool) -> None:  # noqa: FBT001
        if yes and how == "fails":
            commands.script("pre-finish", "exit 1")
        else:
            commands.answer("pre-finish", {"RejectUpload": yes})

    client = await aiohttp_client(memory_app(shared("hooks_dir", commands.directory)))
    await finish_refused_then_granted(client, refuse, 500 if how == "fails" else 400)


@pytest.mark.parametrize("how", ["refuses", "fails"])
async def test_a_finish_is_repeated_in_python(aiohttp_client: MakeClient, how: str) -> None:
    """The same for a callable."""
    says: list[bool] = []

    def hook(_: HookEvent) -> HookReply:
        if says[-1] and how == "fails":
            raise ZeroDivisionError
        return HookReply(reject=says[-1])

    client = await aiohttp_client(memory_app(hooks={"pre-finish": hook}))
    await finish_refused_then_granted(client, says.append, 500 if how == "fails" else 400)


@pytest.mark.parametrize("hook", ["pre-create", "pre-access", "pre-terminate"])
async def test_who_cannot_be_asked_has_not_agreed(aiohttp_client: MakeClient, hook: str) -> None:
    """A100: unreachable is 503 for POST, PATCH and DELETE, and 423 for HEAD; nothing happens."""
    receiver = Receiver()
    async with receiving(receiver.handle) as url:
        client = await aiohttp_client(memory_app(shared("hooks_http", url)))
        path = await create(client)
        receiver.says[hook] = 500
        told = "ERR_HOOK_UNAVAILABLE: What decides about uploads cannot be reached just now; "
        if hook == "pre-create":
            answer = await client.post("/", headers=FIVE)
        elif hook == "pre-terminate":
            answer = await client.delete(path, headers=V)
        else:
            assert (await client.head(path, headers=V)).status == 423
            answer = await client.patch(path, headers=AT0, data=b"hello")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await answer.text()).startswith(told)
        receiver.says.clear()
        assert (await client.head(path, headers=V)).headers["Upload-Offset"] == "0"
        await client.close()


async def test_all_at_once(aiohttp_client: MakeClient, tmp_path: Path) -> None:
    """A callable, a command and an endpoint are all asked, and all told."""
    receiver, commands = Receiver(), Commands(tmp_path / "hooks")
    commands.answer("pre-create", {"ChangeFileInfo": {"MetaData": {"a": "1"}}})
    commands.answer("post-finish")
    receiver.says["pre-create"] = {"HTTPResponse": {"Header": {"X-A": "1"}}}
    own = replying(HookReply(id="tom"))
    async with receiving(receiver.handle) as url:
        settings = shared("hooks_http", url, hooks_dir=commands.directory)
        client = await aiohttp_client(memory_app(settings, hooks={"pre-create": own}))
        answer = await client.post("/", headers=PATCH | FIVE, data=b"hello")
        assert (answer.status, answer.headers["X-A"]) == (201, "1")
        answer = await client.head("/tom", headers=V)
        assert answer.headers["Upload-Metadata"] == "a MQ=="
        await client.close()  # waits for what is being delivered
    assert receiver.types[:2] == ["pre-create", "pre-finish"]


async def test_the_peer_is_told_with_its_port(aiohttp_client: MakeClient) -> None:
    """RemoteAddr is ``ip:port``, headers have Go's names, and Host is among them."""
    receiver = Receiver()
    async with receiving(receiver.handle) as url:
        client = await aiohttp_client(memory_app(Settings(hooks_http=url)))
        await client.post("/?q=%20", headers=FIVE | {"x-foo2bar-baz": "1"})
        server = f"127.0.0.1:{client.port}"
        await client.close()
    asked = receiver.received[0]["Event"]["HTTPRequest"]
    host, _, port = asked["RemoteAddr"].partition(":")
    assert (host, port.isdecimal()) == ("127.0.0.1", True)
    assert (asked["Method"], asked["URI"]) == ("POST", "/?q=%20")
    assert asked["Header"]["X-Foo2bar-Baz"] == ["1"]
    assert asked["Header"]["Host"] == [server]
