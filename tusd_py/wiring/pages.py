"""Which pages are served, and what they are told of the settings."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from ..config import Settings
from ..service.intake import WHOLE_BYTES
from ..web.pages import BUILT, Pages
from ..web.upload_page import PageSettings, UploadPage


def upload_page_routes(settings: Settings, built: Path = BUILT) -> list[web.RouteDef]:
    """Return the routes of the upload page: none if it is switched off or has not been built.

    Args:
        built: where Vite has put the pages.
    """
    if not settings.pages:
        return []
    try:
        pages = Pages(built)
    except FileNotFoundError:
        return []
    url = urlsplit(settings.base_path)
    page = UploadPage(
        pages,
        PageSettings(
            # Relative, so that a proxy in front may add a prefix to both.
            endpoint=settings.base_path if url.netloc else settings.base_path.lstrip("/") or "./",
            max_size=int(settings.max_size) or None,
            allowed_types=settings.allowed_types,
            allowed_extensions=settings.allowed_extensions,
            small_size=WHOLE_BYTES,
            chunk_size=int(settings.pages_chunk_size) or None,
            downloads=not settings.disable_download,
            termination=not settings.disable_termination,
            token=_wants_token(settings),
        ),
        origins=(f"{url.scheme}://{url.netloc}",) if url.netloc else (),
    )
    return page.routes()


def dashboard_routes(built: Path = BUILT) -> list[web.RouteDef]:
    """Return the routes of the dashboard: none if it has not been built."""
    try:
        return Pages(built).routes({"/dashboard": "dashboard.html"})
    except (FileNotFoundError, KeyError):  # an older build has the other page only
        return []


def _wants_token(settings: Settings) -> bool:
    return any(
        (
            settings.auth_tokens_file,
            settings.auth_jwt_secret_file,
            settings.auth_jwt_key_file,
            settings.auth_jwt_jwks,
        )
    )
