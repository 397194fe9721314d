"""Settings: one table, three sources, one order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tusd_py import Durability, Settings, SettingsError, load_settings


def test_flags_beat_environment_beats_file(tmp_path: Path) -> None:
    """Of three sources the one nearest to the user wins."""
    file = tmp_path / "tusd.toml"
    file.write_text('port = 1\nhost = "file"\nbase-path = "/file/"\n')
    environ = {"TUSD_PY_PORT": "2", "TUSD_PY_HOST": "environment", "OTHER": "x"}

    settings = load_settings({"port": "3"}, config_file=file, environ=environ)

    assert (settings.port, settings.host, settings.base_path) == (3, "environment", "/file/")


def test_defaults_are_those_of_tusd() -> None:
    """Where tusd has the option, the default is tusd's."""
    settings = load_settings({}, environ={})

    assert settings.host == "0.0.0.0"  # noqa: S104
    assert (settings.port, settings.base_path) == (8080, "/files/")
    assert settings.upload_dir == Path("data")
    assert settings.max_size == 0
    assert (settings.network_timeout, settings.acquire_lock_timeout) == (60, 20)
    assert settings.shutdown_timeout == 10
    assert (settings.dir_perms, settings.file_perms) == (0o775, 0o664)
    assert (settings.cors_allow_origin, settings.cors_max_age) == (".*", 86400)


def test_our_own_defaults() -> None:
    """A completed upload survives a power cut, and nothing expires, unless one says otherwise."""
    settings = load_settings({}, environ={})

    assert settings.durability is Durability.COMPLETE
    assert settings.expire_after == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86400),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("7d", 604800),
        ("90", 90),
        ("0", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are written as for tusd, or as plain seconds."""
    assert load_settings({"expire_after": text}, environ={}).expire_after == seconds


@pytest.mark.parametrize("text", ["", "h", "1 h", "-5s", "1h1", "inf", "1e9999"])
def test_bad_durations(text: str) -> None:
    """What is no duration is refused."""
    with pytest.raises(SettingsError, match="--expire-after"):
        load_settings({"expire_after": text}, environ={})


@pytest.mark.parametrize(
    ("text", "size"), [("1073741824", 2**30), ("1GiB", 2**30), ("10GB", 10**10), ("0", 0)]
)
def test_sizes(text: str, size: int) -> None:
    """Sizes are bytes, or have a unit."""
    assert load_settings({"max_size": text}, environ={}).max_size == size


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("/files", "/files/"),
        ("/", "/"),
        ("/a/b/", "/a/b/"),
        ("https://x.org/u", "https://x.org/u/"),
    ],
)
def test_base_path_has_slashes_around(given: str, used: str) -> None:
    """A base path is used with slashes on both ends, however it was written."""
    assert Settings(base_path=given).base_path == used


@pytest.mark.parametrize("text", ["/a b/", "/a?b", "/a#b", "/%41/", "/{x}/", "a", ""])
def test_bad_base_path(text: str) -> None:
    """A base path that would need escapes is refused."""
    with pytest.raises(SettingsError, match="--base-path"):
        load_settings({"base_path": text}, environ={})


def test_lists_are_split_and_trimmed() -> None:
    """Blanks behind commas do no harm (they are fatal to tusd)."""
    settings = load_settings({"cors_allow_headers": "X-A, X-B ,"}, environ={})

    assert settings.cors_allow_headers == ("X-A", "X-B")


def test_settings_do_not_change() -> None:
    """Settings are immutable."""
    settings = Settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
