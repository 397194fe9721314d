"""How long to look: a moment by default, as long as `--fuzz-examples` says otherwise."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

DEFAULT_EXAMPLES = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the number of examples."""
    parser.addoption(
        "--fuzz-examples",
        type=int,
        default=DEFAULT_EXAMPLES,
        help="how many examples each property of tests/fuzz tries",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every property here the number of examples that was asked for."""
    examples = config.getoption("--fuzz-examples", DEFAULT_EXAMPLES)
    chosen = settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    tests = {getattr(item, "obj", None) for item in items if "/fuzz/" in str(item.path)}
    for test in tests:  # each once, however many parameters it has
        if hasattr(test, "is_hypothesis_test"):
            chosen(test)
    if examples > DEFAULT_EXAMPLES:
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
