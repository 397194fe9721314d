"""Redis behind every kind of URL: one server, TLS, Sentinel, Cluster."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, free_bus_port, free_port, running_redis
from tests.support.waiting import wait_until
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.protocol.errors import StoreUnavailable, UploadNotFound
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.redis_client.address import RedisAddress

from .conftest import HAND_OVER_S, ID, SOON_S, START_S, StartNode, add, held, soon


async def check_all(store: RedisOffsets, other: RedisOffsets, directory: Path) -> None:
    """Everything works: records, claims, hand-over between two nodes, scans, removal."""
    upload = await add(store, directory, Upload(id=ID, length=10, expires_at=5.0))
    async with held(store) as (claim, wanted):

        async def take_over() -> float:
            began = time.monotonic()
            async with other.claim(ID, timeout_s=SOON_S) as taken:
                assert taken.upload.offset == 3
                return time.monotonic() - began

        newcomer = asyncio.create_task(take_over())
        await soon(wanted)
        await claim.save(replace(upload, offset=3), release=True)
    assert await newcomer < HAND_OVER_S
    assert [found async for found in other.expired(6)] == [ID]
    async with other.claim(ID, timeout_s=0) as claim:
        assert not claim.seized
        await claim.remove()
    with pytest.raises(UploadNotFound):
        await store.get(ID)


# --- URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@example.org:7000/2", "redis://example.org:7000/2"),
        ("rediss://me:secret@example.org", "rediss://example.org"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock"),
        ("redis+sentinel://:secret@a,b:26380/main/1", "redis+sentinel://a,b:26380/main/1"),
        ("rediss+cluster://a:7000,[::1]:7001", "rediss+cluster://a:7000,[::1]:7001"),
    ],
)
def test_urls_are_shown_without_their_passwords(url: str, shown: str) -> None:
    """What is written into logs and errors names the server and no more."""
    assert str(RedisAddress(url)) == shown


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.org", "must begin with"),
        ("redis://:secret@example.org:many", "is not a URL of Redis"),
        ("redis+sentinel://:secret@a,b", "must name the service"),
        ("redis+cluster://", "at least one host"),
        ("redis+sentinel://a,,b/main", "at least one host"),
        ("redis+cluster://a:many", "port"),
        ("redis+sentinel://a/main/two", "database"),
    ],
)
def test_bad_urls_are_refused_in_a_sentence(url: str, problem: str) -> None:
    """The sentence says what is wrong, without the password."""
    with pytest.raises(ValueError, match=problem) as error:
        RedisAddress(url)
    assert "secret" not in str(error.value)


# --- one server


async def test_a_server_with_a_password_and_databases(start: StartNode, directory: Path) -> None:
    """User, password and database of the URL are used, on every connection."""
    with running_redis(port=free_port()) as server:
        server.ask("ACL", "SETUSER", "me", "on", ">very secret", "~*", "&*", "+@all")
        server.ask("ACL", "SETUSER", "default", "off")
        url = f"redis://me:very%20secret@127.0.0.1:{server.port}/3"
        await check_all(await start(url=url), await start(url=url), directory)
        with pytest.raises(StoreUnavailable):
            await start(url=server.url)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody else trusts, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_a_server_with_tls(
    start: StartNode, directory: Path, certificate: tuple[Path, Path]
) -> None:
    """`rediss` encrypts every connection, and trusts whom it is told to trust."""
    cert, key = certificate
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    with running_redis(*options, "--tls-auth-clients", "no"):
        url = f"rediss://127.0.0.1:{port}"
        trusting = f"{url}?ssl_ca_certs={cert}"
        await check_all(await start(url=trusting), await start(url=trusting), directory)
        with pytest.raises(StoreUnavailable):
            await start(url=url)


# --- Sentinel


@pytest.fixture
def sentinels() -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A master, its replica, and one Sentinel that may decide alone."""
    with (
        running_redis(port=free_port()) as master,
        running_redis(port=free_port()) as replica,
        contextlib.ExitStack() as stack,
    ):
        replica.ask("REPLICAOF", "127.0.0.1", master.port or 0)
        wait_until(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up")
        port = free_port()
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"sentinel monitor main 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 2000",
        ]
        sentinel = RedisServer(port=port, config=lines)
        stack.callback(sentinel.close)
        sentinel.start()
        wait_until(lambda: len(sentinel.ask("SENTINEL", "REPLICAS", "main")) == 1)
        yield master, replica, sentinel


async def test_sentinel_and_a_failover(
    start: StartNode, directory: Path, sentinels: tuple[RedisServer, RedisServer, RedisServer]
) -> None:
    """F54: the master dies; for seconds nothing is available, then everything is as it was."""
    master, replica, sentinel = sentinels
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0"
    store, other = await start(url=url), await start(url=url)
    await check_all(store, other, directory)
    upload = await add(store, directory, Upload(id=UploadId("a"), length=9, offset=2), b"12")
    wait_until(lambda: bool(replica.ask("EXISTS", "tusd-py:{a}")))
    master.kill()
    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(StoreUnavailable):
                async with store.claim(upload.id, timeout_s=SOON_S) as claim:
                    assert claim.upload == upload
                    assert claim.seized  # the old master may have granted it to somebody
                break
            await asyncio.sleep(0.1)
    await check_all(store, other, directory)


# --- Cluster


@pytest.fixture
def cluster() -> Iterator[list[RedisServer]]:
    """Three masters that share the slots."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                running_redis("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", port=p)
            )
            for p in (free_bus_port() for _ in range(3))
        ]
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
            check=True,
            capture_output=True,
        )
        wait_until(lambda: all("state:ok" in _state_of(server) for server in servers))
        yield servers


def _state_of(server: RedisServer) -> str:
    return str(server.ask("CLUSTER", "INFO")).replace("': '", ":")


async def test_cluster(start: StartNode, directory: Path, cluster: list[RedisServer]) -> None:
    """Scripts touch one slot each, messages go everywhere, and a dead master is no 'not found'."""
    url = f"redis+cluster://127.0.0.1:{cluster[0].port},127.0.0.1:{cluster[1].port}"
    store, other = await start(url=url), await start(url=url)
    await check_all(store, other, directory)
    ids = [UploadId(f"u{number}") for number in range(12)]
    for upload_id in ids:
        await add(store, directory, Upload(id=upload_id, length=1, expires_at=2.0))
    assert {found async for found in store.expired(3)} == set(ids)
    cluster[2].kill()
    wait_until(lambda: "state:fail" in _state_of(cluster[0]))
    for upload_id in ids:  # CLUSTERDOWN: no slot is served, lest some are found and some are not
        with pytest.raises(StoreUnavailable):
            await store.get(upload_id)
        with pytest.raises(StoreUnavailable):
            async with store.claim(upload_id, timeout_s=0):
                pass
    for error in (AttributeError, IndexError, KeyError):  # the library, while it looks for nodes
        with pytest.raises(StoreUnavailable), store._link.mapped:
            raise error
    cluster[2].start()
    wait_until(lambda: all("state:ok" in _state_of(server) for server in cluster))
    for upload_id in ids:  # those of the master that came back empty are rebuilt
        async with store.claim(upload_id, timeout_s=SOON_S) as claim:
            assert claim.upload.length == 1
