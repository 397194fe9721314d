"""Ring 4: the hooks that the settings name, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from ..config import Settings, SettingsError
from ..hooks.command import CommandHooks, CommandOptions
from ..hooks.http import OUR_HEADERS, HttpHooks, HttpOptions
from ..hooks.python import load_hooks
from ..hooks.several import EnabledHooks, SeveralHooks
from ..hooks.signing import Signer, parse_secrets
from ..interfaces import Hooks, HookType
from ..protocol.headers import canonical_name


@dataclass(frozen=True, slots=True)
class HookRoom:
    """All hooks as one, and those among them that have to be opened and closed."""

    hooks: Hooks
    transports: Sequence[HttpHooks | CommandHooks]

    @property
    def tells(self) -> bool:
        """Whether anybody is, or may come to be, told of what happened."""
        # Commands may be added at any time.
        return bool(self.transports) or any(self.hooks.receivers(event) for event in HookType)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open what has connections, for the length of the context."""
        async with contextlib.AsyncExitStack() as stack:
            for transport in self.transports:
                await transport.open()
                stack.push_async_callback(transport.close)
            yield


def assemble_hooks(settings: Settings, own: Hooks) -> HookRoom:
    """Return the application's own hooks, and behind them those that the settings name.

    The settings about events are for the latter only.

    Raises:
        SettingsError: a setting names what is not there, or is no good.
    """
    named: list[Hooks] = []
    if settings.hooks_python is not None:
        try:
            named.append(load_hooks(settings.hooks_python))
        except ValueError as error:
            raise SettingsError(f"hooks-python {error}") from error
    transports = make_transports(settings)
    named += transports
    enabled = [
        EnabledHooks(
            hooks, settings.hooks_enabled_events, partials=not settings.hooks_skip_partials
        )
        for hooks in named
    ]
    return HookRoom(SeveralHooks([own, *enabled]), transports)


def make_transports(settings: Settings) -> Sequence[HttpHooks | CommandHooks]:
    """Return the hooks outside of this process; nothing is opened yet.

    Raises:
        SettingsError: a setting names what is not there, or is no good.
    """
    transports: list[HttpHooks | CommandHooks] = []
    if settings.hooks_dir is not None:
        transports.append(_command(settings, settings.hooks_dir))
    if settings.hooks_http is not None:
        transports.append(_http(settings, settings.hooks_http))
    return transports


def _command(settings: Settings, directory: Path) -> CommandHooks:
    if not directory.is_dir():
        raise SettingsError(f"hooks-dir: there is no directory {directory}")
    return CommandHooks(
        CommandOptions(
            directory=directory,
            timeout_s=settings.hooks_command_timeout,
            at_once=settings.hooks_command_limit,
            reply_bytes=settings.hooks_http_size_limit,
        )
    )


def _http(settings: Settings, url: str) -> HttpHooks:
    forward = tuple(canonical_name(name) for name in settings.hooks_http_forward_headers)
    if wrong := OUR_HEADERS.intersection(forward):
        raise SettingsError(f"hooks-http-forward-headers: {min(wrong)} cannot be forwarded")
    if URL(url).user is not None and "Authorization" in forward:
        raise SettingsError("hooks-http has credentials, so Authorization cannot be forwarded")
    options = HttpOptions(
        url=url,
        attempts=max(settings.hooks_http_retry, 1),
        backoff_s=settings.hooks_http_backoff,
        attempt_timeout_s=settings.hooks_http_attempt_timeout,
        timeout_s=settings.hooks_http_timeout,
        reply_bytes=settings.hooks_http_size_limit,
        forward=forward,
    )
    return HttpHooks(options, signer=_signer(settings))


def _signer(settings: Settings) -> Signer | None:
    file, given = settings.hooks_http_secret_file, settings.hooks_http_secret
    if file is not None and given is not None:
        raise SettingsError("hooks-http-secret and hooks-http-secret-file: give only one of them")
    try:
        if file is not None:
            return Signer(parse_secrets(file.read_text("ascii")))
        return None if given is None else Signer(parse_secrets(given.get_secret_value()))
    except OSError as error:
        raise SettingsError(f"hooks-http-secret-file: {error.strerror}") from None
    except ValueError as error:  # of a file that is not even text, too
        sentence = "is not text" if isinstance(error, UnicodeDecodeError) else str(error)
        name = "hooks-http-secret" if file is None else "hooks-http-secret-file"
        raise SettingsError(f"{name} {sentence}") from None
