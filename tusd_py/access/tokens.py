"""Static tokens from a TOML file; the server keeps their hashes only."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, model_validator

from ..interfaces import Grant, Operation
from .limits import LIMITS, with_limits
from .watched import WatchedFile

# A token is all that stands between an upload and the rest of the world.
_SHORTEST = 16

Tokens = Mapping[bytes, Grant]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    owner: Annotated[str, Field(min_length=1, max_length=255)]
    token: Annotated[str, Field(min_length=_SHORTEST, pattern=r"^[A-Za-z0-9._~+/-]+=*$")] | None = (
        None
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    max_size: Annotated[ByteSize, Field(gt=0)] | None = None
    types: tuple[str, ...] | None = None
    open_uploads: Annotated[int, Field(ge=0)] | None = None
    total_bytes: Annotated[ByteSize, Field(ge=0)] | None = None
    uploads_per_minute: Annotated[int, Field(ge=0)] | None = None
    bytes_per_second: Annotated[ByteSize, Field(gt=0)] | None = None
    upload_bytes_per_second: Annotated[ByteSize, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.token is None) == (self.sha256 is None):
            raise ValueError("needs either token or sha256")
        return self

    @property
    def hash(self) -> bytes:
        return bytes.fromhex(self.sha256) if self.sha256 else _hash(self.token or "")

    @property
    def grant(self) -> Grant:
        max_size = None if self.max_size is None else int(self.max_size)
        grant = Grant(owner=self.owner, max_size=max_size, types=self.types)
        given = {name: getattr(self, name) for name in LIMITS}
        limits = {name: int(limit) for name, limit in given.items() if limit is not None}
        return with_limits(grant, limits)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: tuple[_Entry, ...] = ()


def parse_tokens(content: bytes) -> Tokens:
    """Parse ``[[token]]`` tables: ``owner``, ``token`` or ``sha256``, ``max_size``, ``types``.

    And any of `LIMITS`, which are the owner's.

    Raises:
        ValueError: something is wrong; the message repeats nothing of a token.
    """
    try:
        file = _File.model_validate(tomllib.loads(content.decode()))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_context=False)[0]
        place = ".".join(
            str(step + 1 if isinstance(step, int) else step) for step in problem["loc"]
        )
        raise ValueError(f"{place or 'file'}: {problem['msg']}") from None
    except ValueError:  # tomllib quotes what it stumbles over
        raise ValueError("is not TOML in UTF-8") from None
    tokens = {entry.hash: entry.grant for entry in file.token}
    if len(tokens) != len(file.token):
        raise ValueError("has a token twice")
    return tokens


class FileTokens:
    """Implements `TokenCheck` for the tokens in a file.

    Raises:
        OSError, ValueError: the file cannot be read, or is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._tokens = WatchedFile(path, parse_tokens)

    async def grant(self, token: str, operation: Operation) -> Grant | None:
        # How long it takes to look for a hash tells nothing of a token: whoever guesses one
        # cannot choose how its hash begins.
        return (await self._tokens.get()).get(_hash(token))

    async def close(self) -> None:
        pass


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
