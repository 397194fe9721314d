"""The command line: what a user gets wrong is one sentence and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tusd_py import __version__
from tusd_py.config import Settings


def tusd_py(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program and return what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "tusd_py", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            **(env or {}),
        },
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        # realistic
        (["serve", "--port", "http"], "--port: input should be a valid integer"),
        (["serve", "--prot", "80"], "No such option '--prot'"),
        (["serve", "8080"], "unexpected extra argument (8080)"),
        (["serve", "--expose-pprof"], "No such option '--expose-pprof'"),
        (["serve", "--expose-metrics", "false"], "unexpected extra argument (false)"),
        (["serve", "--disable-cors", "false"], "unexpected extra argument (false)"),
        (["serve", "--durability", "disk"], "--durability: input should be"),
        (["serve", "--tls-key", "k.pem"], "tls-certificate and tls-key are only good together"),
        (["serve", "--config", "missing.toml"], "cannot read missing.toml"),
        (["serve", "--cors-allow-credentials"], "cors-allow-credentials needs"),
        (["server"], "No such command 'server'"),
        # synthetic
        (["serve", "--port", "65536"], "--port: input should be less than or equal to 65535"),
        (["serve", "--workers", "0"], "--workers: "),
        (["serve", "--expire-after", "-1s"], "--expire-after: "),
        (["serve", "--expire-after", "nan"], "--expire-after: "),
        (["serve", "--base-path", "files"], "--base-path: must begin with a slash"),
        (["serve", "--cors-allow-origin", "("], "--cors-allow-origin: is not a regular expr"),
        (["serve", "--file-perms", "999"], "--file-perms: "),
        (["serve", "--port"], "Option '--port' requires an argument"),
    ],
)
def test_mistake_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    """A wrong value, an unknown option or a stray word ends in one line and exit code 2."""
    done = tusd_py(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tusd-py: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TUSD_PY_MAX_SIZE", "huge", "TUSD_PY_MAX_SIZE: "),
        ("TUSD_PY_PROT", "80", "TUSD_PY_PROT: there is no such setting"),
        ("TUSD_PY_CONFIG", "/missing.toml", "cannot read /missing.toml"),
    ],
)
def test_environment_is_checked_like_flags(name: str, value: str, sentence: str) -> None:
    """A mistake in the environment names the variable."""
    done = tusd_py("serve", env={name: value})

    assert (done.returncode, sentence in done.stderr) == (2, True)


def test_mistake_in_file_names_the_file(tmp_path: Path) -> None:
    """A mistake in the TOML file names the key and the file."""
    file = tmp_path / "tusd.toml"
    file.write_text('max-size = "10GB"\nprot = 80\n')

    done = tusd_py("serve", "--config", str(file))

    assert done.returncode == 2
    assert done.stderr == f"tusd-py: prot in {file}: there is no such setting\n"


def test_taken_port_is_one_sentence(tmp_path: Path) -> None:
    """A port that is in use ends in one line and exit code 1."""
    done = tusd_py("serve", "--unix-sock", str(tmp_path / "no" / "such" / "folder.sock"))

    assert done.returncode == 1
    assert done.stderr.startswith("tusd-py: cannot start: ")
    assert done.stderr.count("\n") == 1


def test_version() -> None:
    """--version prints the version that the package has."""
    assert tusd_py("--version").stdout == f"tusd-py {__version__}\n"


def test_every_setting_is_an_option() -> None:
    """The help of serve names every setting of the table."""
    help_text = tusd_py("serve", "--help").stdout

    missing = [
        name for name in Settings.model_fields if f"--{name.replace('_', '-')}" not in help_text
    ]
    assert missing == []


def test_without_a_command_help_is_shown() -> None:
    """The bare program explains itself."""
    done = tusd_py()

    assert done.returncode == 0
    assert "serve" in done.stdout
