"""Liveness and readiness: ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from ...interfaces.health import Check, Facts
from ...protocol.errors import TusError

# A part that has not answered by then does not work; its check goes on, and no second one starts.
CHECK_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of one check.

    Attributes:
        error: one sentence; None: the part works.
    """

    error: str | None
    duration_s: float
    facts: Facts

    def as_json(self) -> dict[str, object]:
        """Return what is shown of it."""
        state = {"ok": self.error is None, "duration_ms": round(self.duration_s * 1000, 3)}
        return {**state, **({} if self.error is None else {"error": self.error}), **self.facts}


class Health:
    """Whether this process can serve.

    Args:
        checks: by the name of the part.
        timeout_s: how long one may take.
    """

    def __init__(self, checks: Mapping[str, Check], *, timeout_s: float = CHECK_S) -> None:
        self._checks = dict(checks)
        self._timeout_s = timeout_s
        self._running: dict[str, asyncio.Task[Finding]] = {}
        self._stopping = False

    def add(self, name: str, check: Check) -> None:
        """Look at one more part."""
        self._checks[name] = check

    def stop(self) -> None:
        """Be ready no more: the server is going down."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether the server is going down."""
        return self._stopping

    async def look(self) -> Mapping[str, Finding]:
        """Check all parts at once; never longer than the timeout."""
        tasks = [self._start(name) for name in self._checks]
        if tasks:
            await asyncio.wait(tasks, timeout=self._timeout_s)
        return {
            name: task.result() if task.done() else self._overdue()
            for name, task in zip(self._checks, tasks, strict=True)
        }

    def _start(self, name: str) -> asyncio.Task[Finding]:
        """Return the check that runs, or a new one: however often somebody asks, there is one."""
        task = self._running.get(name)
        if task is None or task.done():
            task = asyncio.create_task(_run(self._checks[name]), name=f"check {name}")
            self._running[name] = task
        return task

    def _overdue(self) -> Finding:
        return Finding(
            error=f"no answer within {self._timeout_s:g} s", duration_s=self._timeout_s, facts={}
        )

    async def close(self) -> None:
        """Wait for checks that still run."""
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self._timeout_s)


async def _run(check: Check) -> Finding:
    began = time.monotonic()
    facts: Facts = {}
    error: str | None = None
    try:
        facts = await check()
    except TusError as why:
        error = str(why) if why.__cause__ is None else f"{why} ({why.__cause__})"
    except Exception as why:  # noqa: BLE001 - a part that fails in an odd way fails as well
        error = type(why).__name__
    return Finding(error=error, duration_s=time.monotonic() - began, facts=facts)


def health_routes(health: Health) -> Sequence[web.AbstractRouteDef]:
    """Return the routes of both."""

    async def alive(_: web.Request) -> web.Response:
        return _answer({"status": "ok"}, ok=True)

    async def ready(_: web.Request) -> web.Response:
        findings = await health.look()
        ok = not health.stopping and all(one.error is None for one in findings.values())
        status = "stopping" if health.stopping else "ok" if ok else "failing"
        checks = {name: finding.as_json() for name, finding in findings.items()}
        return _answer({"status": status, "checks": checks}, ok=ok)

    return [web.get("/healthz", alive), web.get("/readyz", ready)]


def _answer(shown: Mapping[str, object], *, ok: bool) -> web.Response:
    return web.json_response(
        shown, status=200 if ok else 503, headers={"Cache-Control": "no-store"}
    )
