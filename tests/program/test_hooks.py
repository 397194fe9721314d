"""Hooks of the program: settings, and a real server with real commands and a real endpoint."""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.program.test_cli import tusd_py
from tests.support.hooks import Commands, event
from tests.support.raw_http import RawConnection, exchange, head, request
from tests.support.server import running_server
from tests.support.waiting import wait_until
from tusd_py import HookType, Settings, SettingsError, load_settings
from tusd_py.hooks.python import PythonHooks
from tusd_py.wiring.hooks import assemble_hooks

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
V = ("Tus-Resumable", "1.0.0")
TYPE = ("Content-Type", "application/offset+octet-stream")


# --- settings


def test_defaults_are_those_of_tusd() -> None:
    """Where tusd has the option, the default is tusd's; our own events have to be enabled."""
    settings = Settings()
    assert settings.hooks_enabled_events == (
        *("pre-create", "post-create", "post-receive", "post-terminate", "post-finish"),
    )
    assert (settings.hooks_http_retry, settings.hooks_http_backoff) == (3, 1)
    assert (settings.hooks_http_timeout, settings.hooks_http_size_limit) == (15, 5120)
    assert settings.progress_hooks_interval == 1


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("", tuple(HookType)),
        ("all", tuple(HookType)),
        ("pre-create, pre-access", (HookType.PRE_CREATE, HookType.PRE_ACCESS)),
    ],
)
def test_events_are_a_list(text: str, events: tuple[HookType, ...]) -> None:
    """Empty means all, as for tusd; blanks do no harm."""
    given = load_settings({"hooks_enabled_events": text}, environ={})
    assert given.hooks_enabled_events == events


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        # realistic
        (["--hooks-enabled-events", "pre-creation"], "pre-creation is no hook; there are pre-"),
        (["--hooks-dir", "missing"], "hooks-dir: there is no directory missing"),
        (["--hooks-http", "hooks.example.org"], "--hooks-http: must be a URL with http or https"),
        (["--hooks-http-timeout", "0"], "--hooks-http-timeout: "),
        (["--hooks-python", "missing_module:x"], "hooks-python cannot be imported"),
        (["--hooks-python", "os"], "--hooks-python: "),
        (["--hooks-http-secret", SECRET], "No such option '--hooks-http-secret'"),
        # synthetic
        (["--hooks-http-retry", "-1"], "--hooks-http-retry: "),
        (["--hooks-http-size-limit", "0"], "--hooks-http-size-limit: "),
        (["--progress-hooks-interval", "0"], "--progress-hooks-interval: "),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    """A wrong setting ends the program with one line and exit code 2."""
    where = ["--host", "127.0.0.1", "--port", "0", "--upload-dir", str(tmp_path), "--no-pages"]
    done = tusd_py("serve", *where, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        # A96: nothing but HTTP, whatever libraries could do
        *("file:///etc/passwd", "gopher://x/", "http+unix://%2Frun%2Fx/", "ftp://x/", "//x/"),
        *("http:", "http://", "https:///x", "http://a b/", "http://x/\r\nY: z", "javascript:1"),
    ],
)
def test_hooks_go_over_http_only(url: str) -> None:
    """A96: the URL is the operator's, and no other scheme is understood."""
    with pytest.raises(SettingsError, match="hooks-http"):
        load_settings({"hooks_http": url}, environ={})


@pytest.mark.parametrize("name", ["Host", "content-length", "Webhook-Signature", "connection"])
def test_some_headers_cannot_be_forwarded(name: str) -> None:
    """What frames a request, or proves its sender, is not a client's to set."""
    settings = Settings(hooks_http="http://x/", hooks_http_forward_headers=(name,))
    with pytest.raises(SettingsError, match="cannot be forwarded"):
        assemble_hooks(settings, PythonHooks())


def test_credentials_are_not_forwarded_over_credentials() -> None:
    """A URL with a password leaves no room for another Authorization."""
    settings = Settings(hooks_http="http://u:p@x/", hooks_http_forward_headers=("authorization",))
    with pytest.raises(SettingsError, match="hooks-http has credentials"):
        assemble_hooks(settings, PythonHooks())


@pytest.mark.parametrize("content", [b"", b"hunter2", b"\xff\xfe\x00", SECRET.encode() * 3])
def test_a_bad_secret_is_found_and_kept(content: bytes, tmp_path: Path) -> None:
    """A102: what is wrong is told; the secret is not."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    for settings in (
        Settings(hooks_http="http://x/", hooks_http_secret_file=file),
        Settings(hooks_http="http://x/", hooks_http_secret=content.decode("latin-1")),
    ):
        with pytest.raises(SettingsError, match="hooks-http-secret") as failure:
            assemble_hooks(settings, PythonHooks())
        assert "hunter2" not in str(failure.value)
        assert SECRET not in str(failure.value) + repr(settings)


async def test_what_waits_for_hooks_that_are_gone_is_told_to_nobody() -> None:
    """An event kept for an endpoint is not the application's own, once no endpoint is named."""
    told: list[HookType] = []
    own = PythonHooks({"post-finish": lambda asked: told.append(asked.type)})
    hooks = assemble_hooks(Settings(), own).hooks
    for receiver in ("http", *hooks.receivers(HookType.POST_FINISH)):
        await hooks.tell(event(HookType.POST_FINISH), receiver)
    assert told == [HookType.POST_FINISH]


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    """By file or by environment, not by both."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    settings = Settings(
        hooks_http="http://x/", hooks_http_secret=SECRET, hooks_http_secret_file=file
    )
    with pytest.raises(SettingsError, match="only one of them"):
        assemble_hooks(settings, PythonHooks())


# --- a real server


class Endpoint:
    """A receiver in threads of its own, which verifies every signature."""

    def __init__(self, secret: str) -> None:
        self.payloads: list[Any] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                payload = Webhook(secret).verify(body, dict(self.headers.items()))
                assert self.headers["webhook-id"] == payload["Event"]["ID"]
                endpoint.payloads.append(payload)
                reply = b"{}"
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://user:pa55@127.0.0.1:{self._server.server_port}/hooks"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def types(self) -> list[str]:
        """What has come, in order."""
        return [payload["Type"] for payload in self.payloads]


def test_a_life_is_told_by_all_means(tmp_path: Path) -> None:
    """Commands and a signed endpoint at once, in a server of two workers; no secret is logged."""
    endpoint = Endpoint(OTHER)
    commands = Commands(tmp_path / "hooks")
    for kind in HookType:
        commands.answer(kind.value)
    reply = {"ChangeFileInfo": {"ID": "tom"}, "HTTPResponse": {"Header": {"X-By": "command"}}}
    commands.answer("pre-create", reply)
    options = ["--hooks-dir", str(commands.directory), "--hooks-http", endpoint.url]
    options += ["--hooks-enabled-events", "all", "--workers", "2", "--verbose"]
    options += ["--hooks-http-backoff", "10ms", "--expire-after", "1h"]
    env = {"TUSD_PY_HOOKS_HTTP_SECRET": f"{SECRET} {OTHER}"}
    credentials = ("Authorization", "Bearer t0ken")
    try:
        with running_server(tmp_path / "up", *options, env=env) as server:
            length = ("Upload-Length", "5")
            made = exchange(server.port, request("POST", "/files/", V, length, credentials))
            assert (made.status, made.headers["X-By"]) == (201, "command")
            assert made.headers["Location"].endswith("/files/tom")
            at0 = ("Upload-Offset", "0")
            patch = request("PATCH", "/files/tom", V, TYPE, at0, credentials, body=b"hello")
            assert exchange(server.port, patch).status == 204
            assert exchange(server.port, request("DELETE", "/files/tom", V)).status == 204
            wait_until(lambda: "post-terminate" in endpoint.types)
            wait_until(lambda: "post-terminate" in [told["Type"] for told in commands.received])
            assert server.stop() == 0
    finally:
        endpoint.close()
    life = ["pre-create", "post-create", "post-finish", "post-terminate"]
    for payloads in (endpoint.payloads, commands.received):
        types = [payload["Type"] for payload in payloads]
        assert [kind for kind in types if kind in life] == life
        assert [types.count(kind) for kind in ("pre-access", "pre-finish", "pre-terminate")] == [
            *(2, 1, 1),
        ]
    asked, told = (
        next(p for p in endpoint.payloads if p["Type"] == kind)["Event"]["HTTPRequest"]["Header"]
        for kind in ("pre-create", "post-create")
    )
    assert asked["Authorization"] == ["Bearer t0ken"]  # who decides has to know
    assert "Authorization" not in told
    everything = server.log.read_text() + "".join(
        path.read_bytes().decode("latin-1")
        for path in (tmp_path / "up").rglob("*")
        if path.is_file()
    )
    for secret in (SECRET, OTHER, "t0ken", "pa55"):
        assert secret not in everything


def test_what_the_server_does_by_itself_is_told(tmp_path: Path) -> None:
    """A body that breaks off is told with its cause, and later that the upload has expired."""
    commands = Commands(tmp_path / "hooks")
    for kind in (HookType.POST_INTERRUPT, HookType.POST_EXPIRE):
        commands.answer(kind.value)
    options = ["--hooks-dir", str(commands.directory), "--hooks-enabled-events", "all"]
    with running_server(tmp_path / "up", *options, "--expire-after", "1s") as server:
        made = exchange(server.port, request("POST", "/files/", V, ("Upload-Length", "9")))
        path = made.headers["Location"].removeprefix("http://server")
        fields = (V, TYPE, ("Upload-Offset", "0"), ("Content-Length", "9"))
        with RawConnection(server.port) as connection:
            connection.send(head("PATCH", path, *fields) + b"abc")
        wait_until(lambda: len(commands.received) == 2)
        assert server.stop() == 0
    ended, expired = (payload["Event"] for payload in commands.received)
    assert (ended["Cause"], ended["Upload"]["Offset"]) == ("ERR_UNEXPECTED_EOF", 3)
    assert ended["HTTPRequest"]["Method"] == "PATCH"
    assert expired["Upload"]["ID"] == ended["Upload"]["ID"] == path.rpartition("/")[2]
    assert expired["HTTPRequest"] == {"Method": "", "URI": "", "RemoteAddr": "", "Header": {}}
    assert expired["Time"] > ended["Time"]


def test_hooks_can_be_a_module(tmp_path: Path) -> None:
    """``--hooks-python`` imports what the user wrote; a refusal is the answer."""
    (tmp_path / "my_hooks.py").write_text(
        "from tusd_py import HookReply\n"
        "async def hook(event):\n"
        "    return HookReply(reject=event.upload.length == 6)\n"
    )
    env = {"PYTHONPATH": f"{Path(__file__).resolve().parents[2]}:{tmp_path}"}
    with running_server(tmp_path / "up", "--hooks-python", "my_hooks:hook", env=env) as server:
        for length, status in (("5", 201), ("6", 400)):
            made = exchange(server.port, request("POST", "/files/", V, ("Upload-Length", length)))
            assert made.status == status
        assert server.stop() == 0
    assert json.loads(server.log.read_text().splitlines()[0])
