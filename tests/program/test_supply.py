"""What is shipped, and what it is made of."""

from __future__ import annotations

import filecmp
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def _pins(name: str) -> dict[str, str]:
    found = PIN.findall((ROOT / name).read_text())
    return {canonicalize_name(package): version for package, version in found}


def _build(target: Path) -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    [wheel] = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return _build(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    """Every module, the mark of a typed package, and built pages; no tests, uploads or tools."""
    names = zipfile.ZipFile(wheel).namelist()
    ours = {name for name in names if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tusd_py").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not _is_source_of_pages(path)
    }
    assert ours == there
    assert "tusd_py/py.typed" in ours
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def _is_source_of_pages(path: Path) -> bool:
    ui = ROOT / "tusd_py/web/ui"
    return path.is_relative_to(ui) and not path.is_relative_to(ui / "dist")


def test_the_wheel_can_be_reproduced(wheel: Path, tmp_path: Path) -> None:
    """Two builds of the same source are the same, byte by byte."""
    assert filecmp.cmp(wheel, _build(tmp_path), shallow=False)


def test_the_lock_has_hashes_of_all_that_a_server_needs() -> None:
    """If this fails: make lock."""
    text = (ROOT / "requirements.lock").read_text()
    lock = _pins("requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    assert needed <= set(lock)
    for entry in re.split(r"\n(?=\w)", text.strip()):
        assert entry.startswith("#") or "--hash=sha256:" in entry, entry
    assert "://" not in text  # it names no registry


def test_pages_are_made_of_pinned_packages() -> None:
    """Every package has one version and a hash, and no registry is named."""
    ui = ROOT / "tusd_py/web/ui"
    package = json.loads((ui / "package.json").read_text())
    versions = [*package["dependencies"].values(), *package["devDependencies"].values()]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    locked = json.loads((ui / "package-lock.json").read_text())["packages"]
    del locked[""]
    assert all(entry["integrity"].startswith("sha512-") for entry in locked.values())
    assert not any("resolved" in entry for entry in locked.values())


def test_the_lock_has_the_versions_of_the_constraints() -> None:
    """A server runs on what CI tests. If this fails: make lock."""
    assert _pins("requirements.lock").items() <= _pins("constraints.txt").items()
