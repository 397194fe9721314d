"""The program and its commands."""

from __future__ import annotations

import os
import sys

import click

from .. import __version__
from ..config import ENV_PREFIX, Settings, SettingsError
from ..server import StartError, run
from .check import check
from .hooks import hooks
from .options import as_json, command
from .rebuild import rebuild
from .uploads import uploads


def main() -> None:
    """Run the program; whatever the user got wrong is one sentence and exit code 2."""
    try:
        code = program.main(prog_name="tusd-py", standalone_mode=False)
    except click.ClickException as error:
        sys.exit(_complain(error.format_message(), error.exit_code))
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:  # whoever reads has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
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


def _serve(settings: Settings) -> None:
    run(settings, announce=lambda sentence: print(sentence, flush=True))


program.add_command(
    command(
        "serve",
        _serve,
        "Accept uploads. Each option can also be set in the environment, as "
        f"{ENV_PREFIX}UPLOAD_DIR for --upload-dir, or in a TOML file.",
    )
)
program.add_command(
    command(
        "rebuild",
        rebuild,
        "Give Redis every record that it has lost, from the copies beside the data. "
        "Takes the options of serve, and may run while servers do.",
        [as_json],
    )
)
program.add_command(hooks)
program.add_command(check)
for of_uploads in uploads:
    program.add_command(of_uploads)
