"""What the end-to-end tests share: servers, files, and the figures they report."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, running_server

from .samples import VIDEO_BYTES, Sample, Samples
from .tusjs import CLIENT

FIGURE = "figure"

StartServer = Callable[..., Server]
NoteFigure = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the big ones."""
    parser.addoption("--large", action="store_true", help="also run tests that move a gigabyte")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the big ones unless they are wanted."""
    if config.getoption("--large", default=False):
        return
    for item in items:
        if item.get_closest_marker("large"):
            item.add_marker(pytest.mark.skip(reason="moves a gigabyte; run with --large"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have measured."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    figures = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in reports
        for name, value in report.user_properties
        if name == FIGURE and report.when == "call"
    ]
    if figures:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(figures))


@pytest.fixture
def note_figure(record_property: Callable[[str, object], None]) -> NoteFigure:
    """Return a function that takes a sentence for the summary at the end."""
    return lambda sentence: record_property(FIGURE, sentence)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """Files to upload, by size."""
    made = Samples(tmp_path_factory.mktemp("samples"))
    yield made
    made.remove()


@pytest.fixture(scope="session")
def video(samples: Samples) -> Sample:
    """A file as people upload them."""
    return samples.of(VIDEO_BYTES)


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Run a server, and remove what was uploaded to it: pytest would keep it for three runs."""
    with running_server(folder, *options) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Return a function that starts a server with options, on a directory of its own."""
    with contextlib.ExitStack() as servers:
        count = itertools.count()
        yield lambda *options: servers.enter_context(
            serving(tmp_path / f"uploads-{next(count)}", *options)
        )


@pytest.fixture
def fresh_server(start_server: StartServer) -> Server:
    """A server to which nothing has been uploaded yet."""
    return start_server()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as it is started without options, for all tests of a module."""
    with serving(tmp_path_factory.mktemp("server") / "uploads") as server:
        yield server


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def any_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server in one process, and one in two, for all tests of a module."""
    folder = tmp_path_factory.mktemp("server") / "uploads"
    with serving(folder, "--workers", str(request.param)) as server:
        yield server


@pytest.fixture(scope="session")
def tus_js() -> None:
    """Makes sure that tus-js-client is there."""
    if shutil.which("node") is None or not CLIENT.exists():
        pytest.fail("Node.js or tus-js-client is missing: run `make e2e`", pytrace=False)
