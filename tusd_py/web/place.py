"""Where this server's uploads are as the client sees it, behind proxies or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from aiohttp import web

from ..protocol.concat import Place
from ..protocol.errors import BadRequest

# A reg-name, an IPv4 address or an IPv6 literal, and a port.
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
_FORWARDED_PAIR = re.compile(r'\s*(host|proto)\s*=\s*"?([^";,\s]+)"?\s*', re.IGNORECASE)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What stands between the clients and us.

    Attributes:
        base_url: the absolute creation URL to use whatever the request says, or None.
        behind_proxy: whether X-Forwarded-* and Forwarded can be believed.
        trusted_proxies: only of these peers, if any are named, and of UNIX sockets.
    """

    base_url: str | None = None
    behind_proxy: bool = False
    trusted_proxies: tuple[Network, ...] = ()

    def place_of(self, request: web.Request, collection_path: str) -> Place:
        """Return the place of uploads for this request.

        Args:
            request: the request.
            collection_path: the path of the creation URL, as it reached us.

        Raises:
            BadRequest: the Host header is not an authority.
        """
        if self.base_url is not None:
            url = urlsplit(self.base_url)
            return Place(origin=f"{url.scheme}://{url.netloc}", base_path=url.path)
        # Not request.host: aiohttp takes that from an absolute request target, if there is one.
        host = request.headers.get("Host", "")
        scheme = request.scheme
        place = _place(scheme, host, collection_path)
        if self.behind_proxy and _is_trusted(request.remote or "", self.trusted_proxies):
            scheme, host = _forwarded(request, scheme, host)
            return _place(scheme, host, _forwarded_prefix(request) + collection_path)
        return place


@lru_cache(maxsize=64)  # it is the same for nearly all requests
def _place(scheme: str, host: str, collection_path: str) -> Place:
    if host and not _AUTHORITY.fullmatch(host):
        raise BadRequest("the Host header is not a host")
    host = host.removesuffix(_DEFAULT_PORTS.get(scheme, ""))
    # HTTP/1.0 needs no Host; a path alone is a valid Location too.
    base_path = collection_path.rstrip("/") + "/"
    return Place(origin=f"{scheme}://{host}" if host else "", base_path=base_path)


@lru_cache(maxsize=1024)
def _is_trusted(remote: str, proxies: tuple[Network, ...]) -> bool:
    """Whether to believe what that peer says of its clients; one without address is local."""
    if not proxies or not remote:
        return True
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in proxies)


def _forwarded(request: web.Request, scheme: str, host: str) -> tuple[str, str]:
    """Apply what the nearest proxy says: X-Forwarded-*, then Forwarded (RFC 7239), as tusd does.

    Of a list the first element counts, which is what the client itself saw.
    """
    said = {
        "proto": _first(request, "X-Forwarded-Proto").lower(),
        "host": _first(request, "X-Forwarded-Host"),
    }
    for part in _first(request, "Forwarded").split(";"):
        if match := _FORWARDED_PAIR.fullmatch(part):
            said[match[1].lower()] = match[2]
    if said["proto"].lower() in _DEFAULT_PORTS:
        scheme = said["proto"].lower()
    if _AUTHORITY.fullmatch(said["host"]):
        host = said["host"]
    return scheme, host


def _forwarded_prefix(request: web.Request) -> str:
    prefix = _first(request, "X-Forwarded-Prefix")
    return prefix.rstrip("/") if _PREFIX.fullmatch(prefix) else ""


def _first(request: web.Request, name: str) -> str:
    return request.headers.get(name, "").partition(",")[0].strip()
