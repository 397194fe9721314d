"""The rooms stay small enough to be read at one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "tusd_py").rglob("*.py"))
MODULE_LINES = 400
FUNCTION_LINES = 50


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every function with the number of its lines behind the docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and node.body[1:] else node.body
            yield node.name, (node.end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_budgets(module: Path) -> None:
    """No module has more than 400 lines, and no function more than 50."""
    text = module.read_text()

    assert text.count("\n") <= MODULE_LINES
    assert [f for f in functions(ast.parse(text)) if f[1] > FUNCTION_LINES] == []
