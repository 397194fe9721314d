"""The application, put together from its settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from aiohttp import web

from ..checks.sniffing import sniff
from ..config import Settings
from ..hooks.python import HookCallable, PythonHooks
from ..interfaces import Authorize, DataStore, Hooks, Ledger, OffsetStore, Outbox
from ..interfaces.occurrences import Observe, ignore
from ..protocol.digests import DigestRules, parse_digest_keys
from ..protocol.model import (
    CHECKSUM,
    CHECKSUM_TRAILER,
    CONCATENATION,
    CONCATENATION_UNFINISHED,
    CREATION,
    CREATION_DEFER_LENGTH,
    CREATION_WITH_UPLOAD,
    EXPIRATION,
    TERMINATION,
    Capabilities,
    Limits,
)
from ..protocol.tus1 import Tus1
from ..service.access import allow_all
from ..service.administration import Administration
from ..service.announce import Announcer
from ..service.delivery import Delivery, Patience
from ..service.filetypes import FileRules
from ..service.janitor import Janitor
from ..service.policy import Policy
from ..service.uploads import Uploads
from ..telemetry.metrics import Metrics
from ..web.app import make_application
from ..web.cors import Cors
from ..web.handlers import Handlers
from ..web.place import Surroundings
from .access import choose_access, opened_access
from .admin import ADMIN, AdminRoom
from .bounds import make_bounds
from .hooks import HookRoom, assemble_hooks
from .insight import INSIGHT, Insight
from .stores import Stores, make_stores

_SHORTEST_SWEEP_S = 1.0
_LONGEST_SWEEP_S = 600.0
# What has not been delivered by then is, after the next start.
_LAST_DELIVERIES_S = 5.0


def create_app(  # noqa: PLR0913 - all but the first by name, and none needed
    settings: Settings | None = None,
    *,
    hooks: Hooks | Mapping[str, HookCallable] | None = None,
    authorize: Authorize | None = None,
    stores: Stores | None = None,
    observe: Observe = ignore,
    own_server: bool = False,
    metrics: Metrics | None = None,
) -> web.Application:
    """Return an aiohttp application that serves uploads wherever it is mounted.

    Args:
        settings: defaults if None; those about listening and output are for the program.
        hooks: callables by hook name, such as ``{"post-finish": notify}``, or a `Hooks`.
        authorize: decides who may do what, see `tusd_py.Authorize`; None: as `settings` say.
        stores: other stores than those that `settings` name.
        observe: takes note of what happens; see `tusd_py.interfaces.occurrences`.
        own_server: the application runs on `web.connection`, which reads trailers.
        metrics: where to count; None: in memory of this process.

    Raises:
        SettingsError: what `settings` names cannot be used.
    """
    settings = settings or Settings()
    authorize = choose_access(settings, authorize)
    stores = stores or make_stores(settings)
    capabilities = _capabilities(settings, stores.data, trailers=own_server)
    policy = _policy(settings, capabilities)
    insight = Insight(settings, stores, observe, metrics=metrics or Metrics())
    room = assemble_hooks(settings, hooks if isinstance(hooks, Hooks) else PythonHooks(hooks))
    uploads = _uploads(stores, policy, room, authorize, insight.observe)
    uploads.watching.moving = insight.live.get
    delivery = Delivery(
        stores.outbox,
        room.hooks,
        clock=policy.clock,
        patience=_patience(settings),
        observe=insight.observe,
    )
    janitor = _janitor(settings, uploads, stores, policy)
    handlers = _handlers(settings, uploads, capabilities, insight.observe)

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        telling = delivery if room.tells else None
        async with (
            insight.recording(),  # until nothing happens any more
            room.open(),
            opened_access(authorize),
            _running(stores, uploads, janitor, telling),
            insight.running(stores.outbox if room.tells else None),
        ):
            yield

    app = make_application(handlers, running)
    app[INSIGHT] = insight
    app[ADMIN] = AdminRoom(settings, _administration(uploads, stores, policy, room))
    return app


@contextlib.asynccontextmanager
async def opened_administration(settings: Settings) -> AsyncIterator[Administration]:
    """Do what operators may without a server, beside those that run, for the length of the context.

    What happens is left in the outbox for the servers to deliver.

    Raises:
        SettingsError: what `settings` names cannot be used.
        StoreUnavailable: a store cannot be reached.
    """
    stores = make_stores(settings)
    policy = _policy(settings, _capabilities(settings, stores.data, trailers=False))
    room = assemble_hooks(settings, PythonHooks(None))
    uploads = _uploads(stores, policy, room, allow_all, ignore)
    async with contextlib.AsyncExitStack() as stack:
        if stores.lanes is not None:
            stores.lanes.start()
            stack.callback(stores.lanes.stop)
        used: list[DataStore | OffsetStore | Ledger | Outbox] = [
            stores.data,
            stores.offsets,
            stores.ledger,
        ]
        if room.tells:
            used.append(stores.outbox)
        for store in used:
            stack.push_async_callback(store.close)
            await store.open()
        stack.push_async_callback(uploads.close)
        yield _administration(uploads, stores, policy, room)


def _uploads(
    stores: Stores, policy: Policy, room: HookRoom, authorize: Authorize, observe: Observe
) -> Uploads:
    return Uploads(
        stores.offsets,
        stores.data,
        policy,
        hooks=room.hooks,
        announcer=Announcer(room.hooks, stores.outbox, policy.clock),
        ledger=stores.ledger,
        authorize=authorize,
        observe=observe,
        placer=stores.placer,
    )


def _administration(
    uploads: Uploads, stores: Stores, policy: Policy, room: HookRoom
) -> Administration:
    return Administration(
        uploads,
        offsets=stores.offsets,
        data=stores.data,
        outbox=stores.outbox if room.tells else None,
        clock=policy.clock,
    )


@contextlib.asynccontextmanager
async def _running(
    stores: Stores, uploads: Uploads, janitor: Janitor, delivery: Delivery | None
) -> AsyncIterator[None]:
    """Open everything in order, do what goes on in the background, and close in reverse.

    Args:
        delivery: None when nobody wants to be told of anything.
    """
    if stores.lanes is not None:
        stores.lanes.start()
    await stores.data.open()
    if stores.placer is not None:
        await stores.placer.open()
    await stores.offsets.open()
    await stores.ledger.open()
    background = [
        asyncio.create_task(janitor.run(), name="janitor"),
        asyncio.create_task(uploads.keep_accounts(), name="accounts"),
    ]
    if delivery is not None:
        await stores.outbox.open()
        background += [
            asyncio.create_task(uploads.settle_events(), name="settle events"),
            asyncio.create_task(delivery.run(), name="delivery"),
        ]
    try:
        yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await uploads.close()
        if delivery is not None:
            await delivery.close(_LAST_DELIVERIES_S)
            await stores.outbox.close()
        await stores.ledger.close()
        await stores.offsets.close()
        await stores.data.close()
        if stores.lanes is not None:
            stores.lanes.stop()


def _handlers(
    settings: Settings, uploads: Uploads, capabilities: Capabilities, observe: Observe
) -> Handlers:
    return Handlers(
        uploads=uploads,
        dialect=Tus1(
            capabilities=capabilities,
            limits=_limits(settings),
            downloads=not settings.disable_download,
        ),
        surroundings=_surroundings(settings),
        cors=_cors(settings),
        idle_timeout_s=settings.network_timeout,
        min_rate=float(settings.min_body_rate),
        observe=observe,
    )


def _capabilities(settings: Settings, data: DataStore, *, trailers: bool) -> Capabilities:
    """Announce what the stores can do, less what is switched off."""
    possible: list[tuple[str, bool]] = [
        (CREATION, True),
        (CREATION_WITH_UPLOAD, True),
        (CREATION_DEFER_LENGTH, CREATION_DEFER_LENGTH in data.extensions),
        (EXPIRATION, settings.expire_after > 0),
        (CHECKSUM, True),
        (CHECKSUM_TRAILER, trailers),
        (TERMINATION, TERMINATION in data.extensions and not settings.disable_termination),
    ]
    for extension in (CONCATENATION, CONCATENATION_UNFINISHED):
        able = extension in data.extensions and not settings.disable_concatenation
        possible.append((extension, able))
    return Capabilities(
        extensions=tuple(name for name, able in possible if able),
        max_size=_limits(settings).max_size,
    )


def _policy(settings: Settings, capabilities: Capabilities) -> Policy:
    return Policy(
        limits=_limits(settings),
        capabilities=capabilities,
        durability=settings.durability,
        acquire_lock_timeout_s=settings.acquire_lock_timeout,
        progress_interval_s=settings.progress_hooks_interval,
        files=FileRules(
            types=settings.allowed_types or None,
            extensions=settings.allowed_extensions or None,
            sniff=sniff,
        ),
        digests=DigestRules(
            algorithms=settings.digests,
            keys=parse_digest_keys(settings.digest_metadata),
        ),
        bounds=make_bounds(settings),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_size=int(settings.max_size) or None,
        expire_after_s=settings.expire_after or None,
        max_parts=settings.max_parts,
    )


def _surroundings(settings: Settings) -> Surroundings:
    absolute = bool(urlsplit(settings.base_path).netloc)
    return Surroundings(
        base_url=settings.base_path if absolute else None,
        behind_proxy=settings.behind_proxy,
        trusted_proxies=settings.trusted_proxies,
    )


def _cors(settings: Settings) -> Cors | None:
    if settings.disable_cors:
        return None
    return Cors.of(
        origin=settings.cors_allow_origin,
        credentials=settings.cors_allow_credentials,
        methods=settings.cors_allow_methods,
        request_headers=settings.cors_allow_headers,
        response_headers=settings.cors_expose_headers,
        max_age_s=settings.cors_max_age,
    )


def _patience(settings: Settings) -> Patience:
    """Let hooks have the time that they may take."""
    usual = Patience()
    slowest_s = max(settings.hooks_command_timeout, settings.hooks_http_timeout)
    return replace(usual, longest_s=max(usual.longest_s, slowest_s + _LAST_DELIVERIES_S))


def _janitor(settings: Settings, uploads: Uploads, stores: Stores, policy: Policy) -> Janitor:
    return Janitor(
        uploads,
        stores.offsets,
        stores.data,
        interval_s=_sweep_interval_s(settings),
        clock=policy.clock,
    )


def _sweep_interval_s(settings: Settings) -> float:
    """Often enough that nothing outlives its time by more than a tenth."""
    if not settings.expire_after:
        return _LONGEST_SWEEP_S
    return min(max(settings.expire_after / 10, _SHORTEST_SWEEP_S), _LONGEST_SWEEP_S)
