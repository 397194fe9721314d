"""JWT with real keys: who is let in, on whose behalf, and who is not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tusd_py.access.jwt import JwtRules, JwtTokens
from tusd_py.access.keys import FileKeys, KeySet, PublicKey, Secret
from tusd_py.interfaces import Grant, Operation
from tusd_py.protocol.errors import Unauthorized
from tusd_py.protocol.quota import Quota

from .making import SECRET, ec_key, ed_key, jwk, jwks, pem, rsa_key, token

ANNA = Grant(owner="anna")
HMAC = JwtRules(algorithms=("HS256",))


def with_secret(tmp_path: Path, rules: JwtRules = HMAC) -> JwtTokens:
    """Return a check for tokens that are signed with the secret."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return JwtTokens(FileKeys(path, Secret), rules)


def with_file(path: Path, kind: Any, content: bytes, *algorithms: str) -> JwtTokens:
    """Return a check for tokens that are signed with a key in a file."""
    path.write_bytes(content)
    return JwtTokens(FileKeys(path, kind), JwtRules(algorithms=algorithms))


async def refusal(check: JwtTokens, text: str, operation: Operation = Operation.CREATE) -> str:
    """Return the sentence with which the token is refused."""
    with pytest.raises(Unauthorized) as caught:
        await check.grant(text, operation)
    assert caught.value.challenge.startswith('Bearer error="invalid_token"')
    return str(caught.value)


# --- signatures


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa_key(), "RS256"),
        (rsa_key(), "PS512"),
        (ec_key(), "ES256"),
        (ed_key(), "EdDSA"),
    ],
)
async def test_public_keys(tmp_path: Path, key: Any, algorithm: str) -> None:
    """Whoever has the private key can make tokens; nobody else can."""
    check = with_file(tmp_path / "key.pem", PublicKey, pem(key), algorithm)
    assert await check.grant(token(key, algorithm), Operation.CREATE) == ANNA
    other = rsa_key(1) if algorithm[1] == "S" and algorithm[0] in "RP" else None
    if other is not None:
        assert await refusal(check, token(other, algorithm)) == "the token is not accepted"


async def test_a_key_set_names_its_keys(tmp_path: Path) -> None:
    """The key is chosen by its name; without one each that fits is tried."""
    keys = jwks(
        jwk(rsa_key(0), kid="r0", use="sig"),
        jwk(rsa_key(1), kid="r1", alg="RS256"),
        jwk(ec_key(0), kid="e0"),
        jwk(ec_key(1), kid="enc", use="enc"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "o"},
        {"kty": "unheard"},
        {},
    )
    check = with_file(tmp_path / "keys.json", KeySet, keys, "RS256", "ES256", "PS256")
    for key, algorithm, kid in (
        (rsa_key(0), "RS256", "r0"),
        (rsa_key(0), "PS256", "r0"),
        (rsa_key(1), "RS256", "r1"),
        (rsa_key(1), "RS256", None),
        (ec_key(0), "ES256", "e0"),
    ):
        assert await check.grant(token(key, algorithm, kid=kid), Operation.CREATE) == ANNA
    for key, algorithm, kid in (
        (rsa_key(0), "RS256", "r1"),
        (rsa_key(1), "PS256", "r1"),
        (rsa_key(2), "RS256", None),
        (rsa_key(0), "RS256", "new"),
        (ec_key(1), "ES256", "enc"),
        (ec_key(0), "ES256", "r0"),
    ):
        assert await refusal(check, token(key, algorithm, kid=kid)) == "the token is not accepted"


def part(value: object) -> str:
    """Return one part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_a_token_cannot_choose_how_it_is_checked(tmp_path: Path) -> None:
    """Neither 'none', nor a public key as a secret, nor a method that is not configured."""
    public = with_file(tmp_path / "key.pem", PublicKey, pem(rsa_key()), "RS256")
    claims = {"sub": "anna", "exp": 1 << 40}
    nobody = f"{part({'alg': 'none'})}.{part(claims)}."
    secret = with_secret(tmp_path)
    for check in (public, secret):
        for text in (nobody, nobody + "AAAA", token(rsa_key(), "RS512"), token("x" * 64, "HS512")):
            assert "method that is not accepted" in await refusal(check, text)
    confused = token(SECRET, "HS256")
    assert "method that is not accepted" in await refusal(public, confused)
    odd = f"{part({'alg': ['RS256'], 'kid': 'x'})}.{part(claims)}.AAAA"
    assert "method that is not accepted" in await refusal(public, odd)
    forged = token(rsa_key(), "RS256").rpartition(".")[0] + ".AAAA"
    assert await refusal(public, forged) == "the token is not accepted"


async def test_what_is_not_a_jwt_is_left_to_others(tmp_path: Path) -> None:
    """It may be a static token."""
    check = with_secret(tmp_path)
    for text in ("abc", "a.b", "a.b.c", "..", "e30.e30", f"{part([])}.e30.AAAA"):
        assert await check.grant(text, Operation.CREATE) is None


# --- claims


async def test_claims_say_who_and_how_much(tmp_path: Path) -> None:
    """The owner, the most bytes and the types; under other names if those are set."""
    check = with_secret(tmp_path)
    text = token(upload_max_size=5, upload_types=["video/*"])
    assert await check.grant(text, Operation.CREATE) == Grant(
        owner="anna", max_size=5, types=("video/*",)
    )
    rules = JwtRules(
        algorithms=("HS256",), owner_claim="email", max_size_claim="m", types_claim="t"
    )
    text = token(sub=None, email="a@b", m=6, t=[], upload_max_size=1)
    assert await with_secret(tmp_path, rules).grant(text, Operation.CREATE) == Grant(
        owner="a@b", max_size=6, types=()
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"upload_max_size": "5"},
        {"upload_max_size": -1},
        {"upload_max_size": True},
        {"upload_max_size": 1.5},
        {"upload_types": "video/*"},
        {"upload_types": [1]},
        {"ends_in_s": None},
        {"ends_in_s": -31},
        {"nbf": 1 << 40},
        {"iat": 1 << 40},
        {"aud": "somebody else"},
    ],
)
async def test_claims_that_are_not_accepted(tmp_path: Path, claims: dict[str, Any]) -> None:
    """A token without an end or an owner, one for others, and limits that cannot be read."""
    assert await refusal(with_secret(tmp_path), token(**claims))


async def test_audience_and_issuer(tmp_path: Path) -> None:
    """Where they are configured, a token has to be for us, and from them."""
    rules = JwtRules(algorithms=("HS256",), audience=("us", "ours"), issuer="them")
    check = with_secret(tmp_path, rules)
    for audience in ("us", ["others", "ours"]):
        text = token(aud=audience, iss="them")
        assert await check.grant(text, Operation.CREATE) == ANNA
    for text in (token(aud="us"), token(iss="them"), token(aud="x", iss="them")):
        assert await refusal(check, text)
    assert await refusal(check, token(aud="us", iss="x"))


# --- the end of a token


async def test_clocks_may_differ(tmp_path: Path) -> None:
    """By the leeway, and no more."""
    check = with_secret(tmp_path)
    assert await check.grant(token(ends_in_s=-10), Operation.CREATE) == ANNA
    assert await refusal(check, token(ends_in_s=-60)) == "the token has expired"


async def test_grace_lets_a_client_finish_what_it_began(tmp_path: Path) -> None:
    """Row 37: HEAD and PATCH go on for that long; nothing new, nothing else."""
    rules = JwtRules(algorithms=("HS256",), grace_s=600)
    check = with_secret(tmp_path, rules)
    ended, long_ended = token(ends_in_s=-300), token(ends_in_s=-700)
    for operation in Operation:
        if operation in (Operation.INSPECT, Operation.APPEND, Operation.FINISH):
            assert await check.grant(ended, operation) == ANNA
        else:
            assert await refusal(check, ended, operation) == "the token has expired"
        if operation is not Operation.FINISH:
            assert await refusal(check, long_ended, operation) == "the token has expired"


async def test_a_token_that_ends_during_a_request_is_good_for_it(tmp_path: Path) -> None:
    """A53: asked again at the end of a long body, all else must still be in order."""
    check = with_secret(tmp_path)
    assert await check.grant(token(ends_in_s=-7000), Operation.FINISH) == ANNA
    assert await refusal(check, token("y" * 32, ends_in_s=-7000), Operation.FINISH)
    assert await refusal(check, token(ends_in_s=None), Operation.FINISH)


# --- files


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (Secret, b"too short\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"),
        (PublicKey, b"hello"),
        (PublicKey, b"-----BEGIN PRIVATE KEY-----\n"),
        (KeySet, b"hello"),
        (KeySet, b"[]"),
        (KeySet, b'{"keys": {}}'),
        (KeySet, b'{"keys": []}'),
        (KeySet, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
        (KeySet, json.dumps({"keys": [{}] * 201}).encode()),
    ],
)
def test_keys_that_are_of_no_use(tmp_path: Path, kind: Any, content: bytes) -> None:
    """They are refused when the server starts."""
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ValueError, match=r"must|has|is not"):
        FileKeys(tmp_path / "key", kind)


async def test_a_secret_is_as_long_as_its_hash(tmp_path: Path) -> None:
    """RFC 7518, 3.2: 32 bytes are enough for HS256 and too few for HS512."""
    check = with_secret(tmp_path, JwtRules(algorithms=("HS512",)))
    assert await refusal(check, token("x" * 64, "HS512")) == "the token is not accepted"


QUOTA = JwtRules(algorithms=("HS256",), quota_claim="limits")


async def test_limits_of_the_owner(tmp_path: Path) -> None:
    """An object of them, if the rules name the claim; 0 is as little as can be."""
    limits = {"open_uploads": 0, "bytes_per_second": 7, "upload_bytes_per_second": 3}
    text = token(limits=limits)
    assert await with_secret(tmp_path, QUOTA).grant(text, Operation.CREATE) == Grant(
        owner="anna", quota=Quota(open_uploads=0, bytes_per_second=7), bytes_per_second=3
    )
    assert await with_secret(tmp_path).grant(text, Operation.CREATE) == ANNA


@pytest.mark.parametrize(
    "limits", [5, [], {"uploads": 5}, {"open_uploads": "5"}, {"bytes_per_second": 0}]
)
async def test_limits_that_are_none(tmp_path: Path, limits: object) -> None:
    """A name that nobody knows may be meant to be a limit, so nothing is granted."""
    text = token(limits=limits)
    assert "object of limits" in await refusal(with_secret(tmp_path, QUOTA), text)
