"""Where Redis is: ``--redis-url`` in all its forms, and the client that belongs to it.

``redis://``, ``rediss://`` (TLS) and ``unix://`` are as the library reads them. For Sentinel and
Cluster there are ``redis+sentinel://user:password@host:port,host:port/service/db`` and
``redis+cluster://user:password@host:port,host:port``, with TLS as ``rediss+...``.
Options behind a question mark go to the library: ``?ssl_ca_certs=/etc/ca.pem``; those that
begin with ``sentinel_`` are for the connections to the Sentinels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

_PLAIN: Final = ("redis", "rediss", "unix")
_SENTINEL: Final = ("redis+sentinel", "rediss+sentinel")
_CLUSTER: Final = ("redis+cluster", "rediss+cluster")
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_RETRIES: Final = 1
_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "ssl_check_hostname": lambda text: text.lower() in ("1", "true", "yes")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """How Redis is used.

    Attributes:
        address: where it is.
        prefix: of all keys and channels.
        lease_s: how long a claim outlives a holder that is dead or cut off.
        timeout_s: how long one answer may take; a command is tried twice at most.
    """

    address: RedisAddress
    prefix: str = "tusd-py:"
    lease_s: float = 30.0
    timeout_s: float = 2.0


class RedisAddress:
    """A URL that has been understood.

    Raises:
        ValueError: it has not; the sentence says why and repeats no password.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        authority, parts = _split(url)
        self._scheme = parts.scheme
        if parts.scheme not in (*_PLAIN, *_SENTINEL, *_CLUSTER):
            raise ValueError(
                "must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
            )
        self._login, _, self._where = authority.rpartition("@")
        self._path = parts.path
        self._options = dict(parse_qsl(parts.query))
        if parts.scheme in _PLAIN:
            self._check_plain()
            return
        default_port = _SENTINEL_PORT if parts.scheme in _SENTINEL else _PORT
        self._hosts = [_host_and_port(host, default_port) for host in self._where.split(",")]
        self._service, _, self._db = self._path.strip("/").partition("/")
        if parts.scheme in _SENTINEL and not self._service:
            raise ValueError("must name the service behind the hosts: redis+sentinel://host/name")
        if self._db and not self._db.isdecimal():
            raise ValueError("must have a number as its database: redis+sentinel://host/name/0")

    def __str__(self) -> str:
        """The URL without its password and options."""
        return f"{self._scheme}://{self._where}{self._path}"

    def clients(self, timeout_s: float) -> list[Redis | RedisCluster]:
        """Return a client, and others that it needs; they connect when they are first used."""
        options: dict[str, Any] = {
            "decode_responses": True,
            "protocol": 2,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(
                ExponentialBackoff(cap=0.5, base=0.05),
                _RETRIES,
                supported_errors=(RedisConnectionError, RedisTimeoutError),
            ),
        }
        if self._scheme in _PLAIN:
            return [Redis.from_url(self._url, **options)]
        options |= self._credentials()
        options |= {
            name: _OPTIONS.get(name, str)(value)
            for name, value in self._options.items()
            if not name.startswith("sentinel_")
        }
        if self._scheme.startswith("rediss"):
            options["ssl"] = True
        if self._scheme in _CLUSTER:
            nodes = [ClusterNode(host, port) for host, port in self._hosts]
            return [RedisCluster(startup_nodes=nodes, **options)]
        return self._behind_sentinels(options, timeout_s)

    def _behind_sentinels(
        self, options: dict[str, Any], timeout_s: float
    ) -> list[Redis | RedisCluster]:
        own: dict[str, Any] = {
            name.removeprefix("sentinel_"): value
            for name, value in self._options.items()
            if name.startswith("sentinel_")
        }
        own |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
        own |= {"retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), 0)}
        if "ssl" in options:
            own["ssl"] = True
        sentinels = Sentinel(self._hosts, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
        client: Redis = sentinels.master_for(self._service, db=int(self._db or 0), **options)
        return [client, *sentinels.sentinels]

    def _credentials(self) -> dict[str, str]:
        user, _, password = self._login.partition(":")
        found = {"username": unquote(user), "password": unquote(password)}
        return {name: value for name, value in found.items() if value}

    def _check_plain(self) -> None:
        try:
            Redis.from_url(self._url)
        except (ValueError, TypeError, RedisError) as error:
            raise ValueError(f"is not a URL of Redis: {error}") from None


def _split(url: str) -> tuple[str, SplitResult]:
    """Return the authority of a URL, and the rest of it.

    As a list of hosts it is none, and later Pythons refuse to split a URL with IPv6 in a list.
    """
    scheme, separator, behind = url.partition("://")
    authority = re.split("[/?#]", behind, maxsplit=1)[0]
    return authority, urlsplit(f"{scheme}{separator}{behind.removeprefix(authority)}")


def _host_and_port(text: str, default: int) -> tuple[str, int]:
    """Split 'host:port', '[::1]:port' or 'host'."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("must name at least one host, and none that is empty")
    try:
        return parts.hostname, parts.port or default
    except ValueError:
        raise ValueError(f"must have a number as port of {parts.hostname}") from None
