"""The dashboard and the alert rules ask for metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tusd_py.telemetry.catalogue import CATALOGUE
from tusd_py.telemetry.cells import Kind

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"
SELECTED = re.compile(r"\b(tusd_[a-z0-9_]+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)\s*=~?\s*"([^"]*)"')
SCRAPED = {"instance", "job"}  # labels that Prometheus adds


def shown() -> dict[str, dict[str, set[str]]]:
    """Each name that is scraped, with its labels and their values."""
    names: dict[str, dict[str, set[str]]] = {}
    for metric in CATALOGUE:
        labels = {
            label: {child[n] for child in metric.children} for n, label in enumerate(metric.labels)
        }
        histogram = metric.kind is Kind.HISTOGRAM
        for end in ("_bucket", "_sum", "_count") if histogram else ("",):
            names[metric.name + end] = labels
    return names


def assert_answerable(expression: str) -> None:
    """Every metric exists, and every label that is asked for can have such a value."""
    found = SELECTED.findall(expression)
    assert found, expression
    for name, selector in found:
        assert name in shown(), expression
        labels = shown()[name]
        for label, pattern in LABEL.findall(selector):
            if label not in SCRAPED:
                assert any(re.fullmatch(pattern, value) for value in labels[label]), expression


def test_alert_rules_ask_for_what_there_is() -> None:
    """Each has a name of its own, an expression, and a sentence for whoever is woken."""
    document: Any = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text())
    (group,) = document["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names)) > 0
    for rule in group["rules"]:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        if not rule["expr"].startswith("up{"):
            assert_answerable(rule["expr"])


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Every panel, and nothing that we count is left out."""
    document = json.loads((EXAMPLES / "grafana.json").read_text())
    expressions = [t["expr"] for panel in document["panels"] for t in panel["targets"]]
    for expression in expressions:
        assert_answerable(expression)
    asked = {name for one in expressions for name, _ in SELECTED.findall(one)}
    variable = document["templating"]["list"][1]["query"]["query"]
    asked |= {name for name, _ in SELECTED.findall(variable)}
    left_out = {
        metric.name
        for metric in CATALOGUE
        if not any(name.startswith(metric.name) for name in asked)
    }
    assert left_out <= {
        "tusd_uploads_terminated",
        "tusd_hook_invocations_total",
        "tusd_py_upload_resumptions",
        "tusd_py_checksum_mismatches_total",
    }
