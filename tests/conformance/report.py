"""The table at the end of a run: counts per extension, and each rule that was not kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GROUPS = {
    "test_core": "core",
    "test_creation": "creation",
    "test_creation_defer_length": "creation-defer-length",
    "test_creation_with_upload": "creation-with-upload",
    "test_expiration": "expiration",
    "test_checksum": "checksum",
    "test_checksum_trailer": "checksum-trailer",
    "test_termination": "termination",
    "test_concatenation": "concatenation",
    "test_concatenation_unfinished": "concatenation-unfinished",
    "test_house_rules": "house rules",
    "test_house_numbers": "house: numbers",
    "test_house_bodies": "house: bodies",
    "test_house_clients": "house: clients",
}
KINDS = ("passed", "failed", "skipped", "noted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the checklist as a test states it."""

    row: str
    level: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one test ended."""

    test: str
    kind: str
    rule: Rule | None
    reason: str = ""

    @property
    def group(self) -> str:
        """The extension the test belongs to."""
        stem = PurePosixPath(self.test.partition("::")[0]).stem
        return GROUPS.get(stem, stem)


def format_table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Write a line of counts per extension, in the order of GROUPS."""
    counts = Counter((outcome.group, outcome.kind) for outcome in outcomes)
    present = {group for group, _ in counts}
    yield f"{'extension':<26}" + "".join(f"{kind:>9}" for kind in KINDS)
    for group in (*GROUPS.values(), *sorted(present - set(GROUPS.values()))):
        if group in present:
            yield f"{group:<26}" + "".join(f"{counts[group, kind]:>9}" for kind in KINDS)


def format_broken(outcomes: Iterable[Outcome], kind: str) -> Iterator[str]:
    """Write each rule with an outcome of a kind, and below it the tests and what they met."""
    rules: dict[Rule, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.kind == kind and outcome.rule is not None:
            rules.setdefault(outcome.rule, []).append(outcome)
    for rule in sorted(rules, key=order):
        yield f"row {rule.row:<3} {rule.level:<7}{rule.sentence}"
        for outcome in rules[rule]:
            yield f"{'':15}{outcome.test.partition('::')[2]}: {outcome.reason}"


def format_skipped(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Write each reason for skipping once, with how many tests it took."""
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.kind == "skipped")
    for reason, count in sorted(reasons.items()):
        yield f"{count:>4}  {reason}"


def order(rule: Rule) -> tuple[str, int, str]:
    """Sort rules by their row: numbers first, then letters with a number."""
    letters = rule.row.rstrip("0123456789")
    return (letters, int(rule.row[len(letters) :] or 0), rule.sentence)
