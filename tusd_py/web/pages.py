"""The pages that people see, as Vite has built them from `ui`.

All of them are read at the start: nothing else in that folder, or outside of it, can be asked for.
"""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

BUILT = Path(__file__).parent / "ui" / "dist"
HOW_TO_BUILD = "its pages have not been built: make pages"

_ASSETS = "assets"
# Vite puts a hash of the content into the names of assets; those of pages stay.
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
# Too little is not worth a second copy.
_COMPRESS_FROM_BYTES = 1024
_COMPRESSED = frozenset({".js", ".css", ".html", ".svg", ".json"})


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    compressed: bytes | None
    content_type: str

    @classmethod
    def read(cls, path: Path) -> _File:
        body = path.read_bytes()
        compressed = None
        if path.suffix in _COMPRESSED and len(body) >= _COMPRESS_FROM_BYTES:
            compressed = gzip.compress(body, mtime=0)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return cls(body, compressed, kind)


class Pages:
    """Serves pages and what they consist of.

    Args:
        folder: what Vite has built; pages in it, their assets below `assets`.

    Raises:
        FileNotFoundError: nothing has been built.
    """

    def __init__(self, folder: Path = BUILT) -> None:
        self._pages = {path.name: _File.read(path) for path in sorted(folder.glob("*.html"))}
        if not self._pages:
            raise FileNotFoundError(folder)
        self._assets = {path.name: _File.read(path) for path in (folder / _ASSETS).iterdir()}

    def routes(
        self, pages: Mapping[str, str], *, origins: Sequence[str] = ()
    ) -> list[web.RouteDef]:
        """Return what serves some of the pages, and the assets of all.

        Args:
            pages: names of built pages such as ``upload.html`` by the paths to serve them at;
                they find their assets beside themselves.
            origins: where they may send requests to beside their own origin.

        Raises:
            KeyError: there is no such page.
        """
        headers = page_headers(origins)
        shown = [
            web.get(path, _serving(self._pages[name], headers)) for path, name in pages.items()
        ]
        return [*shown, web.get(f"/{_ASSETS}/{{name}}", self._asset)]

    async def _asset(self, request: web.Request) -> web.Response:
        found = self._assets.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return _answer(request, found, {**_HARDENED, hdrs.CACHE_CONTROL: _FOR_EVER})


_HARDENED = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def page_headers(origins: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of a page, which let it run nothing but its own assets.

    Args:
        origins: where it may send requests to beside its own origin.
    """
    policy = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],  # thumbnails; icons within style sheets
        "connect-src": ["'self'", *origins],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
    return {
        **_HARDENED,
        hdrs.CACHE_CONTROL: _ASK_AGAIN,
        "Content-Security-Policy": "; ".join(
            " ".join([name, *sources]) for name, sources in policy.items()
        ),
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def _serving(file: _File, headers: Mapping[str, str]) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        return _answer(request, file, headers)

    return serve


def _answer(request: web.Request, file: _File, headers: Mapping[str, str]) -> web.Response:
    body, headers = file.body, dict(headers)
    if file.compressed is not None:
        headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            body = file.compressed
            headers[hdrs.CONTENT_ENCODING] = "gzip"
    charset = "utf-8" if file.content_type.startswith("text/") else None
    return web.Response(body=body, headers=headers, content_type=file.content_type, charset=charset)
