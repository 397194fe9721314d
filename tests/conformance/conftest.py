"""Options, fixtures and the report of the conformance suite.

Without --url the folder is not collected, unless a conftest.py around it defines a fixture
named conformance_server_url.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .report import Outcome, Rule, format_broken, format_skipped, format_table
from .tus import Tus, discover
from .wire import ServerGoneError, WireError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

HERE = Path(__file__).parent
URL_FIXTURE = "conformance_server_url"
NAMED = pytest.StashKey[bool]()
TESTED_URL = pytest.StashKey[str]()
LEVELS = ("MUST", "SHOULD", "MAY")
STATS = {
    "passed": "passed",
    "failed": "failed",
    "error": "failed",
    "skipped": "skipped",
    "xfailed": "noted",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("tus", "tus conformance")
    group.addoption("--url", dest="tus_url", help="upload creation URL of the server to test")
    group.addoption(
        "--header",
        dest="tus_headers",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="header field to add to each request (repeatable)",
    )
    group.addoption(
        "--level",
        dest="tus_level",
        choices=LEVELS,
        default="MAY",
        help="weakest level of rules to test (default: all)",
    )
    group.addoption(
        "--expires-in",
        dest="tus_expires_in",
        type=float,
        metavar="SECONDS",
        help="unfinished uploads are gone after this time: wait for it and look (row 43)",
    )
    group.addoption(
        "--house",
        dest="tus_house",
        action="store_true",
        help="also test what tusd_py does where the specification is silent",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for line in (
        "rule(row, level, sentence): the row of the checklist a test belongs to",
        "needs(*extensions): skip unless the server announces these extensions",
    ):
        config.addinivalue_line("markers", line)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a run that names the suite and no server."""
    # Only a conftest.py named on the command line is asked this early.
    config = session.config
    config.stash[NAMED] = True
    if not has_server(config) and not config.getoption("collectonly"):
        message = "the conformance suite needs a server: give --url http://host:port/files/"
        raise pytest.UsageError(message)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the suite out of runs that name no server."""
    ours = collection_path.parent == HERE and collection_path.name.startswith("test_")
    if ours and not has_server(config) and NAMED not in config.stash:
        return True
    return None


def pytest_report_header(config: pytest.Config) -> str:
    """Tell which server is tested."""
    url = config.getoption("tus_url", default=None)
    return f"tus conformance of {url}" if url else "tus conformance: no --url given"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out house rules and weaker levels unless asked for, and note each test's rule."""
    weakest = LEVELS.index(config.getoption("tus_level", default="MAY"))
    house = config.getoption("tus_house", default=False)
    dropped = []
    for item in [item for item in items if item.path.parent == HERE]:
        rule = rule_of(item)
        item.user_properties.append(("rule", [rule.row, rule.level, rule.sentence]))
        is_house = item.path.name.startswith("test_house")
        if (not house) if is_house else LEVELS.index(rule.level) > weakest:
            dropped.append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


def rule_of(item: pytest.Item) -> Rule:
    """Return the rule a test states."""
    marker = item.get_closest_marker("rule")
    if marker is None:
        message = f"{item.nodeid} has no rule marker"
        raise pytest.UsageError(message)
    row, level, sentence = marker.args
    return Rule(row=str(row), level=level, sentence=sentence)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn a missing answer into a failure that shows the request, not Python code."""
    try:
        return (yield)
    except ServerGoneError as error:
        gone, message = True, str(error)
    except WireError as error:
        gone, message = False, str(error)
    if gone:
        pytest.exit(f"in {pyfuncitem.name}: {message}", returncode=1)
    pytest.fail(message, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a departure from what the specification only suggests, without failing the run."""
    report = yield
    if call.when == "call" and report.failed and rule_of(item).level == "MAY":
        report.outcome = "skipped"
        report.wasxfail = first_line(report.longreprtext)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    write = terminalreporter.write_line
    outcomes = list(read_outcomes(terminalreporter))
    if not outcomes:
        if not has_server(config):
            write("tus conformance: not run; give --url http://host:port/files/")
        return
    terminalreporter.section(
        f"tus 1.0.0 conformance of {config.stash.get(TESTED_URL, config.getoption('tus_url'))}"
    )
    for line in format_table(outcomes):
        write(line)
    for title, lines in (
        ("rules not kept:", format_broken(outcomes, "failed")),
        (
            "answers the specification names but does not insist on, not given:",
            format_broken(outcomes, "noted"),
        ),
        ("skipped:", format_skipped(outcomes)),
    ):
        for count, line in enumerate(lines):
            if count == 0:
                write("")
                write(title)
            write(line)
    if not config.getoption("tus_house", default=False):
        write("")
        write("house rules of tusd_py: not run (--house)")


def read_outcomes(terminalreporter: pytest.TerminalReporter) -> Iterator[Outcome]:
    """Yield how each test of the suite ended."""
    for stat, kind in STATS.items():
        for report in terminalreporter.stats.get(stat, []):
            rule = dict(getattr(report, "user_properties", ())).get("rule")
            if rule is not None:
                yield Outcome(
                    test=report.nodeid,
                    kind=kind,
                    rule=Rule(row=rule[0], level=rule[1], sentence=rule[2]),
                    reason=reason_of(report),
                )


def reason_of(report: pytest.TestReport) -> str:
    """Return why a test failed or was skipped, in one line."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return first_line(report.longreprtext)


def first_line(text: str) -> str:
    """Return the first line of a text, or nothing of an empty one."""
    return text.partition("\n")[0]


def has_server(config: pytest.Config) -> bool:
    """Tell whether --url or the fixture names a server."""
    plugins = config.pluginmanager.get_plugins()
    given = config.getoption("tus_url", default=None)
    return bool(given) or any(hasattr(plugin, URL_FIXTURE) for plugin in plugins)


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """Return the URL uploads are created at."""
    given = request.config.getoption("tus_url", default=None)
    return str(given or request.getfixturevalue(URL_FIXTURE))


@pytest.fixture(scope="session")
def tus(request: pytest.FixtureRequest, server_url: str) -> Tus:
    """Return the server under test."""
    request.config.stash[TESTED_URL] = server_url
    option = request.config.getoption
    fields = tuple(parse_header(text) for text in option("tus_headers", default=[]))
    return discover(server_url, fields, strict=option("tus_house", default=False))


def parse_header(text: str) -> tuple[str, str]:
    """Read a --header."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        message = f"--header wants 'Name: value', not {text!r}"
        raise pytest.UsageError(message)
    return name.strip(), value.strip()


@pytest.fixture
def expires_in_s(request: pytest.FixtureRequest) -> float | None:
    """Return after how many seconds unfinished uploads are gone, or None if not told."""
    value: float | None = request.config.getoption("tus_expires_in", default=None)
    return value


@pytest.fixture(autouse=True)
def announced_or_skipped(request: pytest.FixtureRequest, tus: Tus) -> None:
    """Skip a test of an extension the server does not announce."""
    marker = request.node.get_closest_marker("needs")
    if marker is not None:
        tus.need(*marker.args)
