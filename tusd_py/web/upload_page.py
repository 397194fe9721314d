"""The upload page, and what it asks this server before it begins."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aiohttp import hdrs, web

from .pages import Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """What the page gets as `config.json`: the server's limits and how to send files.

    Attributes:
        endpoint: the creation URL; absolute, or relative to the page.
        max_size: of one file, in bytes; None: no limit.
        allowed_types: globs of which the type of a file must match one; empty: all.
        allowed_extensions: of which its name must have one; empty: all.
        small_size: up to so many bytes, a file is sent with the request that creates it.
        chunk_size: most bytes of one request of larger files; None: one request for all.
        downloads: whether what was uploaded can be looked at.
        termination: whether what was cancelled can be removed.
        token: whether the server wants a token from everybody.
    """

    endpoint: str
    max_size: int | None = None
    allowed_types: tuple[str, ...] = ()
    allowed_extensions: tuple[str, ...] = ()
    small_size: int
    chunk_size: int | None = None
    downloads: bool = True
    termination: bool = True
    token: bool = False


@dataclass(frozen=True, slots=True)
class UploadPage:
    """The page at / and its settings at /config.json.

    Attributes:
        origins: where uploads go to if not to the origin of the page.
    """

    pages: Pages
    settings: PageSettings
    origins: tuple[str, ...] = ()

    def routes(self) -> list[web.RouteDef]:
        """Return what serves it."""
        shown = self.pages.routes({"/": "upload.html"}, origins=self.origins)
        return [*shown, web.get("/config.json", self._config)]

    async def _config(self, _: web.Request) -> web.Response:
        headers = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
        return web.json_response(asdict(self.settings), headers=headers)
