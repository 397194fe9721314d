"""What the site and the publisher share: settings, tokens, and the catalogue of videos."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt

from tusd_py import load_settings

SETTINGS = load_settings({}, config_file=Path("video.toml"))
FOLDER = Path("data/videos")

_TOKEN_S = 12 * 3600
_TABLES = """
CREATE TABLE IF NOT EXISTS videos (
    id TEXT PRIMARY KEY, event TEXT UNIQUE, owner TEXT, name TEXT, size INTEGER, sha256 TEXT,
    file TEXT, published_at REAL, upload_removed INTEGER
);
CREATE TABLE IF NOT EXISTS troubles (
    event TEXT PRIMARY KEY, owner TEXT, name TEXT, what TEXT, offset INTEGER, size INTEGER, at TEXT
);
"""


def token_for(owner: str) -> str:
    """Return a token with which its bearer uploads on behalf of the owner."""
    claims = {"sub": owner, "exp": int(time.time()) + _TOKEN_S}
    return jwt.encode(claims, _secret(), algorithm="HS256")


def owner_of(token: str) -> str:
    """Return whose token it is.

    Raises:
        jwt.PyJWTError: it is not ours, or too old.
    """
    claims = jwt.decode(token, _secret(), ["HS256"], options={"require": ["sub", "exp"]})
    return str(claims["sub"])


def _secret() -> str:
    assert SETTINGS.auth_jwt_secret_file is not None
    return SETTINGS.auth_jwt_secret_file.read_text().strip()


@contextlib.contextmanager
def catalogue() -> Iterator[sqlite3.Connection]:
    """Open the catalogue for one transaction."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(FOLDER / "catalogue.db")) as database, database:
        database.row_factory = sqlite3.Row
        database.executescript(_TABLES)
        yield database


def rows_of(owner: str, table: str) -> list[dict[str, Any]]:
    """Return what the catalogue has of an owner in one of its tables, the latest first."""
    query = f"SELECT * FROM {table} WHERE owner = ? ORDER BY rowid DESC"  # noqa: S608 - our names
    with catalogue() as database:
        return [dict(row) for row in database.execute(query, (owner,))]
