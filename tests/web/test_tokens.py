"""Bearer tokens over HTTP, as the settings configure them, with real keys and files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from tests.access.making import SECRET, ec_key, jwk, jwks, pem, token
from tusd_py import Settings, SettingsError, create_app

from .serving import PATCH, V, memory_app

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
ORIGIN = {"Origin": "https://app.example"}


def bears(text: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with the secret."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


async def create(client: Client, length: int, **fields: str) -> str:
    """Create an upload and return its path."""
    answer = await client.post("/", headers=V | {"Upload-Length": str(length)} | fields)
    assert answer.status == 201, await answer.text()
    return URL(answer.headers["Location"]).path


async def test_a_whole_upload_with_a_token(aiohttp_client: MakeClient, secret: Path) -> None:
    """Every request bears it; without it each is 401, and with another's each is 404."""
    client = await aiohttp_client(memory_app(Settings(auth_jwt_secret_file=secret)))
    anna, berta = bears(token()), bears(token(sub="berta"))
    path = await create(client, 6, **anna)
    steps: list[tuple[str, dict[str, str], bytes, int]] = [
        ("PATCH", PATCH | {"Upload-Offset": "0"}, b"abc", 204),
        ("HEAD", V, b"", 200),
        ("PATCH", PATCH | {"Upload-Offset": "3"}, b"def", 204),
        ("GET", {}, b"", 200),
        ("DELETE", V, b"", 204),
    ]
    for method, headers, data, status in steps:
        for who, expected in (({}, 401), (berta, 404), (anna, status)):
            answer = await client.request(method, path, headers=headers | who, data=data)
            assert (method, answer.status) == (method, expected)


async def test_a_401_says_how_and_to_pages_of_other_origins(
    aiohttp_client: MakeClient, secret: Path
) -> None:
    """WWW-Authenticate as RFC 6750 has it, and CORS, or a page would see a network error."""
    client = await aiohttp_client(memory_app(Settings(auth_jwt_secret_file=secret)))
    for who, challenge in (
        ({}, "Bearer"),
        (
            bears(token(ends_in_s=-3600)),
            'Bearer error="invalid_token", error_description="the token has expired"',
        ),
    ):
        for method, path in (("POST", "/"), ("HEAD", "/a"), ("PATCH", "/a"), ("DELETE", "/a")):
            headers = PATCH | {"Upload-Length": "5", "Upload-Offset": "0"} | ORIGIN | who
            answer = await client.request(method, path, headers=headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == challenge
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
            assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
            if method != "HEAD":
                assert (await answer.text()).startswith("ERR_UNAUTHORIZED: ")


async def test_a_preflight_needs_no_token(aiohttp_client: MakeClient, secret: Path) -> None:
    """Row 5: OPTIONS is never authorised, for no URL, and allows Authorization."""
    client = await aiohttp_client(memory_app(Settings(auth_jwt_secret_file=secret)))
    asks = {
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,tus-resumable",
    }
    for path in ("/", "/missing"):
        answer = await client.options(path, headers=ORIGIN | asks)
        assert answer.status == 200
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"].split(", ")


async def test_a_claim_caps_the_size(aiohttp_client: MakeClient, secret: Path) -> None:
    """413 at the creation, and for a length that is declared later."""
    client = await aiohttp_client(memory_app(Settings(auth_jwt_secret_file=secret)))
    small, large = bears(token(upload_max_size=5)), bears(token())
    answer = await client.post("/", headers=V | {"Upload-Length": "6"} | small)
    assert (answer.status, answer.headers["Tus-Max-Size"]) == (413, "5")
    answer = await client.post("/", headers=V | {"Upload-Defer-Length": "1"} | small)
    path = URL(answer.headers["Location"]).path
    later = PATCH | {"Upload-Offset": "0"} | large
    answer = await client.patch(path, headers=later | {"Upload-Length": "6"}, data=b"abc")
    assert (answer.status, answer.headers["Tus-Max-Size"]) == (413, "5")
    answer = await client.patch(path, headers=later | {"Upload-Length": "5"}, data=b"abcde")
    assert answer.status == 204


async def test_all_kinds_of_uploads_need_a_token(aiohttp_client: MakeClient, secret: Path) -> None:
    """Row 34: partial and final uploads are authorised like others."""
    client = await aiohttp_client(memory_app(Settings(auth_jwt_secret_file=secret)))
    anna = bears(token())
    partial = {"Upload-Concat": "partial"}
    assert (await client.post("/", headers=V | {"Upload-Length": "0"} | partial)).status == 401
    path = await create(client, 0, **anna, **partial)
    final = V | {"Upload-Concat": f"final;{path}"}
    assert (await client.post("/", headers=final)).status == 401
    assert (await client.post("/", headers=final | bears(token(sub="b")))).status == 404
    assert (await client.post("/", headers=final | anna)).status == 201


async def test_grace_saves_an_upload_whose_token_ends(
    aiohttp_client: MakeClient, secret: Path
) -> None:
    """Row 37: without it HEAD is 401, and tus-js-client starts over; with it the upload ends."""
    ended = bears(token(ends_in_s=-300))
    strict = await aiohttp_client(memory_app(Settings(auth_jwt_secret_file=secret)))
    path = await create(strict, 5, **bears(token()))
    assert (await strict.head(path, headers=V | ended)).status == 401
    settings = Settings(auth_jwt_secret_file=secret, auth_jwt_grace=600)
    client = await aiohttp_client(memory_app(settings))
    path = await create(client, 5, **bears(token()))
    assert (await client.head(path, headers=V | ended)).status == 200
    headers = PATCH | {"Upload-Offset": "0"} | ended
    assert (await client.patch(path, headers=headers, data=b"hello")).status == 204
    assert (await client.get(path, headers=ended)).status == 401
    assert (await client.post("/", headers=V | {"Upload-Length": "1"} | ended)).status == 401


@pytest.mark.parametrize("kind", ["key", "jwks"])
async def test_other_keys(aiohttp_client: MakeClient, tmp_path: Path, kind: str) -> None:
    """A public key, and a set of them in a file, with the algorithms that go without saying."""
    path = tmp_path / "key"
    if kind == "key":
        path.write_bytes(pem(ec_key()))
        settings = Settings(auth_jwt_key_file=path)
    else:
        path.write_bytes(jwks(jwk(ec_key(), kid="e0")))
        settings = Settings(auth_jwt_jwks=str(path))
    client = await aiohttp_client(memory_app(settings))
    await create(client, 5, **bears(token(ec_key(), "ES256", kid="e0")))
    stranger = bears(token(ec_key(1), "ES256", kid="e0"))
    answer = await client.post("/", headers=V | {"Upload-Length": "5"} | stranger)
    assert answer.status == 401


async def test_keys_that_cannot_be_had_are_our_fault(
    aiohttp_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """503, but 423 on HEAD, after which clients wait; the log says what is wrong."""
    settings = Settings(auth_jwt_jwks="http://127.0.0.1:1/keys")
    client = await aiohttp_client(memory_app(settings))
    anna = bears(token(ec_key(), "ES256", kid="e0"))
    answer = await client.post("/", headers=V | {"Upload-Length": "5"} | anna)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (await answer.text()).startswith("ERR_AUTHORIZATION_UNAVAILABLE: ")
    assert (await client.head("/a", headers=V | anna)).status == 423
    assert "KeySetNotFetched" in caplog.text


async def test_tokens_of_both_kinds(
    aiohttp_client: MakeClient, tmp_path: Path, secret: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Static ones for machines, JWT for people; no secret of theirs is ever logged."""
    caplog.set_level("DEBUG")
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[token]]\nowner = "backup"\ntoken = "static-secret-token"\nmax_size = 5\n')
    settings = Settings(auth_tokens_file=tokens, auth_jwt_secret_file=secret)
    client = await aiohttp_client(memory_app(settings))
    static, jwt = bears("static-secret-token"), token()
    path = await create(client, 5, **static)
    await create(client, 6, **bears(jwt))
    assert (await client.head(path, headers=V | bears(jwt))).status == 404
    answer = await client.post("/", headers=V | {"Upload-Length": "6"} | static)
    assert answer.status == 413
    wrong = token("x" * 32)
    for text in ("wrong-secret-token", wrong):
        assert (await client.head(path, headers=V | bears(text))).status == 401
    logged = str([vars(record) for record in caplog.records])
    assert "AccessRefused" in logged
    for text in ("static-secret-token", "wrong-secret-token", SECRET, jwt, wrong):
        assert text not in logged


async def test_a_damaged_upload_looks_missing_to_others(
    aiohttp_client: MakeClient, tmp_path: Path, secret: Path
) -> None:
    """Only its owner is told of the damage; if not even that is known, it is nobody's."""
    settings = Settings(auth_jwt_secret_file=secret, upload_dir=tmp_path / "data")
    client = await aiohttp_client(create_app(settings))
    anna, berta = bears(token()), bears(token(sub="berta"))
    path = await create(client, 5, **anna)
    headers = PATCH | {"Upload-Offset": "0"} | anna
    assert (await client.patch(path, headers=headers, data=b"hello")).status == 204
    (tmp_path / "data" / path.strip("/")).unlink()
    assert (await client.head(path, headers=V)).status == 401
    assert (await client.head(path, headers=V | berta)).status == 404
    assert (await client.head(path, headers=V | anna)).status == 410
    (tmp_path / "data" / f"{path.strip('/')}.info").write_text("{")
    for who, status in (({}, 401), (berta, 404), (anna, 404)):
        assert (await client.head(path, headers=V | who)).status == status


# --- settings


def test_wrong_files_are_found_at_the_start(tmp_path: Path) -> None:
    """The sentence names the setting and the file, and repeats nothing of it."""
    path = tmp_path / "file"
    path.write_text('[[token]]\nowner = "anna"\ntoken = "hush"\n')
    for settings, name in (
        (Settings(auth_tokens_file=path), "auth-tokens-file"),
        (Settings(auth_jwt_secret_file=path.with_name("none")), "auth-jwt-secret-file"),
        (Settings(auth_jwt_key_file=path), "auth-jwt-key-file"),
        (Settings(auth_jwt_jwks=str(path)), "auth-jwt-jwks"),
    ):
        with pytest.raises(SettingsError, match=f"^{name}: .*{tmp_path}") as caught:
            memory_app(settings)
        assert "hush" not in str(caught.value)


def test_a_callable_and_settings_exclude_each_other(secret: Path) -> None:
    """Nobody has to guess which of them decides."""

    async def allow(_: object) -> None:
        pass

    with pytest.raises(SettingsError, match="not by both"):
        memory_app(Settings(auth_jwt_secret_file=secret), authorize=allow)


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth_jwt_secret_file": "a", "auth_jwt_key_file": "b"},
        {"auth_jwt_key_file": "a", "auth_jwt_jwks": "b"},
        {"auth_jwt_audience": "a"},
        {"auth_jwt_issuer": "a"},
        {"auth_jwt_key_file": "a", "auth_jwt_algorithms": "HS256"},
        {"auth_jwt_secret_file": "a", "auth_jwt_algorithms": "RS256"},
        {"auth_jwt_key_file": "a", "auth_jwt_algorithms": "none"},
        {"auth_jwt_jwks": "http://issuer.example/keys"},
    ],
)
def test_settings_that_would_let_the_wrong_ones_in(wrong: dict[str, Any]) -> None:
    """A secret is no public key, and what anybody can change on its way is no key set."""
    with pytest.raises(ValueError, match="auth-jwt"):
        Settings(**wrong)
