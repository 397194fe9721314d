"""Options made from the table of settings, and commands that take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from ..config import ENV_PREFIX, Settings, load_settings

Action = Callable[..., int | None]
"""What a command does with the settings, and with what it takes beside them by name.

What it returns is the exit code, None being 0.
"""

as_json = click.Option(["--json", "as_json"], is_flag=True, help="print one JSON object a line")


def command(
    name: str, action: Action, help_text: str, own: Sequence[click.Parameter] = ()
) -> click.Command:
    """Return a command that takes all settings.

    Args:
        own: what it takes beside them.
    """
    names = {parameter.name for parameter in own}

    def run(config: Path | None, **options: Any) -> int | None:
        flags = {
            key: value for key, value in options.items() if value is not None and key not in names
        }
        settings = load_settings(flags, config_file=config)
        code: int | None = action(
            settings, **{key: options[key] for key in options if key in names}
        )
        return code

    settings_options = (
        _option(key, field)
        for key, field in Settings.model_fields.items()
        if field.json_schema_extra != {"flag": False}
    )
    return click.Command(
        name, callback=run, params=[*own, _config_option(), *settings_options], help=help_text
    )


def _config_option() -> click.Option:
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        envvar=f"{ENV_PREFIX}CONFIG",
        metavar="FILE",
        help="TOML file with settings, named as here without the leading dashes",
    )


def _option(name: str, field: FieldInfo) -> click.Option:
    """Make the option of one setting; its value is checked with all others, not by click."""
    flag = "--" + name.replace("_", "-")
    help_text = field.description or ""
    if field.annotation is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}", name], default=None, help=help_text)
    default = field.default
    shown = ",".join(default) if isinstance(default, tuple) else default
    if name.endswith("_perms"):
        shown = f"{default:o}"
    if shown not in (None, ""):
        help_text = f"{help_text} [default: {shown}]"
    return click.Option([flag, name], default=None, metavar="VALUE", help=help_text)
