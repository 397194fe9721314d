"""Where a token is looked for, and what is said to those who have none."""

from __future__ import annotations

import pytest

from tusd_py.access.bearer import BearerAccess
from tusd_py.interfaces import Grant, Operation
from tusd_py.protocol.errors import Unauthorized

from .making import access


class KnownTokens:
    """Implements `TokenCheck`: knows some tokens."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.asked: list[str] = []

    async def grant(self, token: str, operation: Operation) -> Grant | None:
        self.asked.append(token)
        return Grant(owner=token) if token in self.known else None

    async def close(self) -> None:
        self.known = ()


@pytest.mark.parametrize("field", ["Bearer abc", "bearer abc", "BEARER   abc", " Bearer abc "])
async def test_the_token_is_what_follows_the_scheme(field: str) -> None:
    """RFC 9110: the scheme's name in any case, and one or more spaces."""
    assert await BearerAccess(KnownTokens("abc"))(access(field)) == Grant(owner="abc")


async def test_nobody_is_asked_without_a_token() -> None:
    """RFC 6750, 3.1: a challenge without an error code."""
    check = KnownTokens()
    with pytest.raises(Unauthorized) as caught:
        await BearerAccess(check)(access())
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}
    assert check.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        ("Basic YTpi",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer a b",),
        ("Bearer a,b",),
        ("Bearer ä",),
        ("abc",),
        ("Bearer abc", "Bearer abc"),
    ],
)
async def test_what_is_not_one_bearer_token(fields: tuple[str, ...]) -> None:
    """Nothing else is guessed at, and of two fields none is chosen."""
    check = KnownTokens("abc", "a")
    with pytest.raises(Unauthorized) as caught:
        await BearerAccess(check)(access(*fields))
    assert caught.value.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    assert check.asked == []


async def test_the_first_that_knows_a_token_decides() -> None:
    """Kinds of tokens are asked in order; what none of them knows is refused."""
    first, second = KnownTokens("a"), KnownTokens("a", "b")
    bearer = BearerAccess(first, second)
    assert await bearer(access("Bearer a")) == Grant(owner="a")
    assert second.asked == []
    assert await bearer(access("Bearer b")) == Grant(owner="b")
    with pytest.raises(Unauthorized):
        await bearer(access("Bearer c"))
    await bearer.close()
    assert first.known == second.known == ()


async def test_a_refusal_is_logged_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    """The operator learns what was refused and why; the token stays between the two."""
    caplog.set_level("DEBUG")
    with pytest.raises(Unauthorized):
        await BearerAccess(KnownTokens())(access("Bearer very-secret"))
    (record,) = caplog.records
    assert record.message == "AccessRefused"
    assert vars(record)["operation"] == "append"
    assert vars(record)["id"] == "a"
    assert "very-secret" not in str(vars(record))
