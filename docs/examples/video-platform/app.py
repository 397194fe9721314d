"""The site: people sign in, upload videos, and see which of theirs are published."""

import hmac
import logging
from pathlib import Path

import jwt
from aiohttp import web
from videos import FOLDER, SETTINGS, owner_of, rows_of, token_for

from tusd_py import create_app, log_formatter

HERE = Path(__file__).parent
PASSWORDS = {"anna": "correct horse", "berta": "battery staple"}  # your site's accounts


async def page(_: web.Request) -> web.FileResponse:
    """Show the page on which videos are uploaded."""
    return web.FileResponse(HERE / "page/index.html")


async def login(request: web.Request) -> web.Response:
    """Exchange a name and a password for a token."""
    form = await request.post()
    name, password = str(form.get("name")), str(form.get("password"))
    if not hmac.compare_digest(PASSWORDS.get(name, "").encode(), password.encode()) or not password:
        raise web.HTTPForbidden(text="there is nobody with this name and password\n")
    return web.json_response({"token": token_for(name)})


def user(request: web.Request) -> str:
    """Return who asks, by the same token that uploads are made with."""
    try:
        return owner_of(request.headers.get("Authorization", "").removeprefix("Bearer "))
    except jwt.PyJWTError:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}) from None


async def my_videos(request: web.Request) -> web.Response:
    """List the user's videos that are published, and what went wrong with others."""
    owner = user(request)
    return web.json_response({table: rows_of(owner, table) for table in ("videos", "troubles")})


async def my_video(request: web.Request) -> web.FileResponse:
    """Send a published video to its owner."""
    for video in rows_of(user(request), "videos"):
        if video["id"] == request.match_info["id"]:
            return web.FileResponse(FOLDER / video["file"])
    raise web.HTTPNotFound


def make_site() -> web.Application:
    """Put the site together."""
    site = web.Application()
    site.add_routes(
        [
            web.get("/", page),
            web.static("/page", HERE / "page"),
            web.static("/uppy", HERE / "node_modules/uppy/dist"),
            web.static("/hash-wasm", HERE / "node_modules/hash-wasm/dist"),
            web.post("/login", login),
            web.get("/videos", my_videos),
            web.get("/videos/{id}", my_video),
        ]
    )
    site.add_subapp(SETTINGS.base_path, create_app(SETTINGS))
    return site


if __name__ == "__main__":
    handler = logging.StreamHandler()
    handler.setFormatter(log_formatter("text"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    web.run_app(make_site(), host="127.0.0.1", port=SETTINGS.port, access_log=None)
