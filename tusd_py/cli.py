"""The command line: ``tusd-py serve`` and its options, made from the table of settings."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click
from pydantic.fields import FieldInfo

from . import __version__
from .config import ENV_PREFIX, Settings, SettingsError, load_settings
from .protocol.errors import TusError
from .server import StartError, run
from .wiring import rebuild_records


def main() -> None:
    """Run the program; whatever the user got wrong is one sentence and exit code 2."""
    try:
        code = program.main(prog_name="tusd-py", standalone_mode=False)
    except click.ClickException as error:
        sys.exit(_complain(error.format_message(), error.exit_code))
    except click.Abort:
        sys.exit(130)
    except SettingsError as error:
        sys.exit(_complain(str(error), 2))
    except StartError as error:
        sys.exit(_complain(str(error), 1))
    sys.exit(code if isinstance(code, int) else 0)


def _complain(sentence: str, code: int) -> int:
    print(f"tusd-py: {' '.join(sentence.split())}", file=sys.stderr)
    return code


@click.group(
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="tusd-py %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """A server for resumable uploads (tus 1.0.0)."""
    if context.invoked_subcommand is None:
        print(context.get_help())


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


def _serve(config: Path | None, **options: Any) -> None:
    flags = {name: value for name, value in options.items() if value is not None}
    settings = load_settings(flags, config_file=config)
    run(settings, announce=lambda url: print(f"Upload to {url}", flush=True))


_config = click.Option(
    ["--config"],
    type=click.Path(path_type=Path),
    envvar=f"{ENV_PREFIX}CONFIG",
    metavar="FILE",
    help="TOML file with settings, named as here without the leading dashes",
)


async def _print_rebuilt(settings: Settings, *, as_json: bool) -> int:
    """Print a line for each upload and the sum; return 1 if any could not be rebuilt."""
    sums: dict[str, int] = {}
    async for upload_id, outcome in rebuild_records(settings):
        sums[outcome] = sums.get(outcome, 0) + 1
        if as_json:
            print(json.dumps({"id": upload_id, "outcome": outcome}), flush=True)
        elif outcome != "present":
            print(f"{upload_id} {outcome}", flush=True)
    if as_json:
        print(json.dumps({"sums": sums}))
    else:
        print(", ".join(f"{count} {outcome}" for outcome, count in sums.items()) or "no uploads")
    return int(any(outcome.startswith("ERR_") for outcome in sums))


def _rebuild(config: Path | None, *, as_json: bool, **options: Any) -> int:
    flags = {name: value for name, value in options.items() if value is not None}
    settings = load_settings(flags, config_file=config)
    try:
        return asyncio.run(_print_rebuilt(settings, as_json=as_json))
    except TusError as error:
        raise StartError(f"cannot rebuild: {error}") from None


_settings = [
    _option(name, field)
    for name, field in Settings.model_fields.items()
    if field.json_schema_extra != {"flag": False}
]
_json = click.Option(["--json", "as_json"], is_flag=True, help="print one JSON object a line")

program.add_command(
    click.Command(
        "rebuild",
        callback=_rebuild,
        params=[_json, _config, *_settings],
        help="Give Redis every record that it has lost, from the copies beside the data. "
        "Takes the options of serve, and may run while servers do.",
    )
)

program.add_command(
    click.Command(
        "serve",
        callback=_serve,
        params=[_config, *_settings],
        help="Accept uploads. Each option can also be set in the environment, as "
        f"{ENV_PREFIX}UPLOAD_DIR for --upload-dir, or in a TOML file.",
    )
)
