"""Requests at the wrong time or for the wrong version, and settings that would be unsafe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.raw_http import exchange, request
from tests.support.server import Server, running_server
from tests.support.target import MISSING, TYPE, Target, V, assert_refused, new_target
from tusd_py.config import SettingsError, load_settings

LENGTH = ("Upload-Length", "0")


@pytest.mark.parametrize("version", ["", "2.0.0", "1.0", "1.0.0,1.0.0", "\u0661.0.0"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_another_version_does_nothing(target: Target, method: str, version: str) -> None:
    """A93: a version that is not spoken is 412, says which is, and nothing is done."""
    path = "/files/" if method == "POST" else target.path
    wrong = ("Tus-Resumable", version)
    fields = (wrong, TYPE, ("Upload-Length", "5"), ("Upload-Offset", "3"))
    answer = target.send(request(method, path, *fields), method)
    assert_refused(answer, 412)
    assert answer.headers["Tus-Version"] == "1.0.0"
    twice = request(method, path, V, *fields)
    assert_refused(target.send(twice, method), 412)


@pytest.mark.parametrize(
    "value",
    [
        "application/octet-stream",
        "application/offset+octet-stream; charset=utf-8",
        "Application/Offset+Octet-Stream",
        "application/offset+octet-stream, text/plain",
        "",
        b"application/offset+octet-stream\xff",
    ],
)
def test_another_content_type_is_refused(target: Target, value: str | bytes) -> None:
    """A94: a PATCH of any other type is 415 before its body is looked at."""
    offset = ("Upload-Offset", "3")
    data = request("PATCH", target.path, V, offset, ("Content-Type", value), body=MISSING)
    assert_refused(target.send(data), 415)
    assert_refused(target.send(request("PATCH", target.path, V, offset, body=MISSING)), 415)


def test_what_was_removed_does_not_come_back(attacked: Server) -> None:
    """A91: no request revives an upload that was terminated."""
    upload = new_target(attacked)
    upload.delete()
    assert_refused(upload.patch(body=MISSING), 404)
    assert_refused(upload.patch(body=MISSING, offset=0), 404)
    assert_refused(upload.send(request("POST", upload.path, V, LENGTH)), 405)
    assert not list(attacked.upload_dir.glob(f"{upload.file.name}*"))


def test_a_second_delete_finds_nothing(attacked: Server) -> None:
    """A92: an upload is removed once, complete or not; then it is 404."""
    for length in ("3", "10"):
        upload = new_target(attacked, ("Upload-Length", length))
        upload.delete()
        assert_refused(upload.send(request("DELETE", upload.path, V)), 404)


def test_a_base_url_beats_whatever_host_is_named(tmp_path: Path) -> None:
    """A58: whoever does not want Location to follow Host gives the public URL."""
    with running_server(tmp_path / "data", "--base-path", "https://example.org/files/") as server:
        creation = request("POST", "/files/", V, LENGTH).replace(b"Host: server", b"Host: evil")
        answer = exchange(_port_of(server), creation)
    assert answer.headers["Location"].startswith("https://example.org/files/")


@pytest.mark.parametrize(("proxies", "origin"), [("127.0.0.0/8", "evil"), ("10.0.0.1", "server")])
def test_only_the_proxies_that_are_named_are_believed(
    tmp_path: Path, proxies: str, origin: str
) -> None:
    """A59: with a list of proxies, what others say of their clients is ignored."""
    options = ("--behind-proxy", "--trusted-proxies", proxies)
    with running_server(tmp_path / "data", *options) as server:
        said = ("X-Forwarded-Host", "evil")
        answer = exchange(server.port, request("POST", "/files/", V, LENGTH, said))
    assert answer.headers["Location"].startswith(f"http://{origin}/files/")


def test_credentials_for_every_page_are_a_mistake_at_the_start() -> None:
    """A57: cookies for whatever page asks would be everybody's; the server does not start."""
    with pytest.raises(SettingsError, match="cors-allow-origin"):
        load_settings({"cors_allow_credentials": "true"}, environ={})


@pytest.mark.parametrize("proxies", ["proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_proxies_are_named_by_address(proxies: str) -> None:
    """A59: a name, or a network with host bits, is refused at the start, not misunderstood."""
    flags = {"behind_proxy": "true", "trusted_proxies": proxies}
    with pytest.raises(SettingsError, match=r"--trusted-proxies: must be addresses or networks"):
        load_settings(flags, environ={})


def test_proxies_without_a_proxy_are_a_mistake() -> None:
    """A59: the list alone would do nothing, so it is refused."""
    with pytest.raises(SettingsError, match="only good with behind-proxy"):
        load_settings({"trusted_proxies": "10.0.0.1"}, environ={})


def _port_of(server: Server) -> int:
    """The port that is listened on, though the announced URL is another one."""
    import psutil  # noqa: PLC0415 - only here

    (listening,) = [
        c for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"
    ]
    return int(listening.laddr.port)
