"""Where settings come from: flags, the environment, a TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .table import Settings

ENV_PREFIX = "TUSD_PY_"


class SettingsError(ValueError):
    """A setting is wrong; the message is one sentence that names it as the user wrote it."""


def load_settings(
    flags: Mapping[str, Any],
    *,
    config_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings; flags go before the environment, that before the file.

    Args:
        flags: by field name, only those that were given.
        config_file: a TOML file with the names as in flags, dashes or underscores.
        environ: where ``TUSD_PY_<NAME>`` is looked up.

    Raises:
        SettingsError: a name is unknown or a value is wrong.
    """
    from_file = {} if config_file is None else _read_file(config_file)
    from_environ = {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENV_PREFIX) and name != f"{ENV_PREFIX}CONFIG" and value
    }
    values = from_file | from_environ | dict(flags)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_sentence(error, flags, from_environ, config_file)) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return {key.replace("-", "_"): value for key, value in tomllib.load(file).items()}
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _sentence(
    error: ValidationError,
    flags: Mapping[str, Any],
    environ: Mapping[str, Any],
    config_file: Path | None,
) -> str:
    """Say what is wrong first, naming the setting as it was written where it was written."""
    problem = error.errors()[0]
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not problem["loc"]:
        return message
    field = str(problem["loc"][0])
    if field in flags:
        name = "--" + field.replace("_", "-")
    elif field in environ:
        name = ENV_PREFIX + field.upper()
    else:
        name = f"{field} in {config_file}"
    if problem["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    return f"{name}: {message}, not {problem['input']!r}"
