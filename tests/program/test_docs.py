"""What the documentation says is so."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from tusd_py import load_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES: dict[str, Callable[[], str]] = runpy.run_path(str(ROOT / "docs/generate.py"))["PAGES"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_reference_is_what_the_code_says(name: str) -> None:
    """The reference pages in the repository are those that the code generates."""
    assert (ROOT / "docs/reference" / name).read_text() == PAGES[name](), "run: make docs"


def test_example_configuration_is_valid() -> None:
    """The example file is accepted, and lets uploads expire after a day."""
    path = ROOT / "docs/examples/tusd-py.toml"

    settings = load_settings({}, config_file=path, environ={})

    assert settings.expire_after == 24 * 3600
    assert tomllib.loads(path.read_text())["expire-after"] == "24h"


def pages() -> list[Path]:
    """Return all pages of ours."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(page for page in found if "node_modules" not in page.parts)]


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file or folder that exists."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def example(name: str) -> str:
    """Return the code block of the README that has this name."""
    match = re.search(
        rf"<!-- example: {name} -->\n```python\n(.*?)```",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    assert match is not None
    return match[1]


async def test_readme_example_works(
    aiohttp_client: AiohttpClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example of the README serves uploads below its prefix and calls its hook."""
    served: list[web.Application] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(web, "run_app", lambda app, **_: served.append(app))
    scope: dict[str, Any] = {}
    exec(compile(example("embed"), "README.md", "exec"), scope)  # noqa: S102 - our own example

    client = await aiohttp_client(served[0])
    response = await client.post(
        "/files/",
        data=b"hello",
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Length": "5",
            "Upload-Metadata": "filename aGkudHh0",
            "Content-Type": "application/offset+octet-stream",
        },
    )

    assert response.status == 201
    assert str(client.make_url("/files/")) in response.headers["Location"]
    await client.close()  # which waits for what is being delivered
    assert capsys.readouterr().out == "got hi.txt 5 bytes\n"
    assert len(example("embed").strip().splitlines()) <= 13


def test_readme_is_two_screens() -> None:
    """The README stays short."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90
