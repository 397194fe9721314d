"""Keys that signatures of tokens are checked with: a secret, a public key, or a set of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jwt import PyJWK
from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from .watched import WatchedFile

_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

# Without a kid in the token, each key that fits is tried.
_MOST_TRIED = 8
_MOST_KEYS = 200


class Keys(Protocol):
    """Where keys come from."""

    async def find(self, algorithm: str, kid: object) -> Sequence[Any]:
        """Return the keys that a token may be signed with, as PyJWT takes them; perhaps none.

        Args:
            algorithm: that the token is signed with, one of those that are accepted.
            kid: which key the token says it is signed with; whatever its maker wrote there.

        Raises:
            AuthorizationUnavailable: keys cannot be had just now.
        """

    async def close(self) -> None:
        """End what runs in the background."""


class FileKeys:
    """Implements `Keys` for a file, which is read again when it changes.

    Raises:
        OSError, ValueError: it cannot be read, or is of no use.
    """

    def __init__(self, path: Path, kind: type[KeyFile]) -> None:
        self._file = WatchedFile(path, kind)

    async def find(self, algorithm: str, kid: object) -> Sequence[Any]:
        return (await self._file.get()).find(algorithm, kid)

    async def close(self) -> None:
        pass


class KeyFile(Protocol):
    """What the bytes of a file are taken for; made from them, it may raise ValueError."""

    def __init__(self, content: bytes) -> None: ...

    def find(self, algorithm: str, kid: object) -> Sequence[Any]:
        """Do as `Keys.find`."""


class Secret:
    """A secret shared with whoever makes the tokens; line breaks at its end do not belong to it."""

    def __init__(self, content: bytes) -> None:
        self._secret = content.rstrip(b"\r\n")
        if len(self._secret) < 32:  # RFC 7518, 3.2: no shorter than the hash
            raise ValueError("must have at least 32 bytes")

    def find(self, algorithm: str, kid: object) -> Sequence[Any]:
        fits = algorithm[:2] == "HS" and len(self._secret) * 8 >= int(algorithm[2:])
        return [self._secret] if fits else []


class PublicKey:
    """One public key in PEM."""

    def __init__(self, content: bytes) -> None:
        if b"PRIVATE KEY" in content:
            raise ValueError("has a private key; the server needs the public one only")
        self._keys = {}
        for name, algorithm in get_default_algorithms().items():
            if name[:2] not in _TYPES:
                continue
            try:
                self._keys[name] = algorithm.prepare_key(content)
            except (PyJWTError, ValueError, TypeError):
                continue
        if not self._keys:
            raise ValueError("has no public key in PEM")

    def find(self, algorithm: str, kid: object) -> Sequence[Any]:
        return [self._keys[algorithm]] if algorithm in self._keys else []


class KeySet:
    """A JSON Web Key Set (RFC 7517); what is of no use in it is passed over."""

    def __init__(self, content: bytes) -> None:
        try:
            keys = json.loads(content)["keys"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError("is not a JSON Web Key Set") from None
        if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
            raise ValueError(f"must have a list of at most {_MOST_KEYS} keys")
        self._keys = [key for key in keys if isinstance(key, dict) and _is_for_signatures(key)]
        if not self._keys:
            raise ValueError("has no public key for signatures")
        self._made: dict[tuple[int, str], PyJWK | None] = {}

    def find(self, algorithm: str, kid: object) -> Sequence[Any]:
        fitting = [
            key
            for number, entry in enumerate(self._keys)
            if kid in (None, entry.get("kid"))
            and (key := self._made_for(number, algorithm)) is not None
        ]
        return fitting[:_MOST_TRIED]

    def _made_for(self, number: int, algorithm: str) -> PyJWK | None:
        at = number, algorithm
        if at not in self._made:
            self._made[at] = _make(self._keys[number], algorithm)
        return self._made[at]


def _is_for_signatures(key: Mapping[str, Any]) -> bool:
    # A secret in a set of public keys would let everybody who reads them make tokens.
    return key.get("kty") in _TYPES.values() and key.get("use", "sig") == "sig"


def _make(key: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    if key["kty"] != _TYPES.get(algorithm[:2]) or key.get("alg", algorithm) != algorithm:
        return None
    try:
        return PyJWK(dict(key), algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
