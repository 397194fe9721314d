"""Where uploads are as the client sees it: Host, proxies, prefixes."""

from __future__ import annotations

import itertools
from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request

from tusd_py.protocol.concat import Place
from tusd_py.protocol.errors import BadRequest
from tusd_py.web.place import Surroundings

DIRECT = Surroundings()
BEHIND = Surroundings(behind_proxy=True)


def heard_from(remote: str, *proxies: str) -> str:
    """Return the origin that a forwarded request of that peer is told."""
    surroundings = Surroundings(
        behind_proxy=True, trusted_proxies=tuple(ip_network(proxy) for proxy in proxies)
    )
    headers = {"Host": "inside", "X-Forwarded-Host": "outside", "X-Forwarded-Prefix": "/p"}
    request = make_mocked_request("POST", "/files/", headers).clone(remote=remote)
    place = surroundings.place_of(request, "/files/")
    assert place.base_path == ("/p/files/" if "outside" in place.origin else "/files/")
    return place.origin


@pytest.mark.parametrize(
    ("remote", "proxies"),
    [
        ("10.1.2.3", ()),
        ("10.1.2.3", ("10.1.2.3",)),
        ("10.1.2.3", ("192.0.2.1", "10.0.0.0/8")),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",)),
        ("fd00::1", ("fd00::/64",)),
        ("fe80::1%eth0", ("fe80::/10",)),
        ("", ("10.0.0.0/8",)),  # a UNIX socket
    ],
)
def test_a_trusted_proxy_is_believed(remote: str, proxies: tuple[str, ...]) -> None:
    """A59: of a peer in the list, or of every one without a list, the headers count."""
    assert heard_from(remote, *proxies) == "http://outside"


@pytest.mark.parametrize(
    ("remote", "proxies"),
    [
        ("10.1.2.3", ("10.1.2.4", "fd00::/8")),
        ("11.1.2.3", ("10.0.0.0/8",)),
        ("::ffff:11.1.2.3", ("10.0.0.0/8",)),
        ("fd01::1", ("fd00::/64",)),
        ("nonsense", ("0.0.0.0/0",)),
    ],
)
def test_whoever_is_no_proxy_of_ours_is_not_believed(remote: str, proxies: tuple[str, ...]) -> None:
    """A59: what others say is ignored altogether."""
    assert heard_from(remote, *proxies) == "http://inside"


def place_of(surroundings: Surroundings, headers: dict[str, str], path: str = "/files/") -> Place:
    """Return the place that a request with these headers is told."""
    return surroundings.place_of(make_mocked_request("POST", path, headers), path)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        # realistic
        ("example.org", "http://example.org"),
        ("example.org:8080", "http://example.org:8080"),
        ("127.0.0.1:1080", "http://127.0.0.1:1080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("my_host", "http://my_host"),
        # synthetic
        ("example.org:80", "http://example.org"),
        ("example.org:443", "http://example.org:443"),
        ("[2001:db8::192.0.2.1]", "http://[2001:db8::192.0.2.1]"),
        ("", ""),
    ],
)
def test_the_host_is_that_of_the_request(host: str, origin: str) -> None:
    """Without a proxy the Host header tells where the client is; without it the path must do."""
    assert place_of(DIRECT, {"Host": host}) == Place(origin=origin, base_path="/files/")
    assert place_of(BEHIND, {"Host": host}).origin == origin


@pytest.mark.parametrize(
    "host",
    [
        "a b",
        "a/b",
        "a@b",
        "a,b",
        "<script>",
        "a:b",
        "a:123456",
        "[::1",
        "a\x7f",
        "\u00e9",
        "a?b",
        "%41",
    ],
)
@pytest.mark.parametrize("surroundings", [DIRECT, BEHIND])
def test_a_host_that_is_none_is_refused(surroundings: Surroundings, host: str) -> None:
    """What is no authority never gets into an answer."""
    with pytest.raises(BadRequest):
        place_of(surroundings, {"Host": host})


@pytest.mark.parametrize("path", ["/files", "/files/"])
def test_the_creation_url_ends_with_a_slash(path: str) -> None:
    """The URL of an upload has one slash before the id, however the collection was asked for."""
    assert place_of(DIRECT, {"Host": "x"}, path).base_path == "/files/"
    assert place_of(DIRECT, {"Host": "x"}, "/").base_path == "/"


def test_a_base_url_counts_whatever_the_request_says() -> None:
    """A configured absolute URL is used as it is, even against a Host that is none."""
    fixed = Surroundings(base_url="https://cdn.example.org:8443/up/", behind_proxy=True)
    there = Place(origin="https://cdn.example.org:8443", base_path="/up/")
    for headers in ({}, {"Host": "a b"}, {"Host": "x", "X-Forwarded-Host": "y"}):
        assert place_of(fixed, headers) == there


# Each header with what it changes; Forwarded goes before X-Forwarded-*, as in tusd.
X_HOST = {"X-Forwarded-Host": "x.example.org"}
X_PROTO = {"X-Forwarded-Proto": "https"}
X_PREFIX = {"X-Forwarded-Prefix": "/app"}
FORWARDED_HOST = {"Forwarded": "for=1.2.3.4;host=f.example.org"}
FORWARDED_PROTO = {"Forwarded": 'proto="https";for=1.2.3.4'}
FORWARDED_BOTH = {"Forwarded": "host=f.example.org;proto=https"}


@pytest.mark.parametrize("host", [{}, X_HOST])
@pytest.mark.parametrize("proto", [{}, X_PROTO])
@pytest.mark.parametrize("prefix", [{}, X_PREFIX])
@pytest.mark.parametrize("forwarded", [{}, FORWARDED_HOST, FORWARDED_PROTO, FORWARDED_BOTH])
def test_every_combination_of_forwarding_headers(
    host: dict[str, str],
    proto: dict[str, str],
    prefix: dict[str, str],
    forwarded: dict[str, str],
) -> None:
    """Each header changes its own part of the URL, together with or without the others."""
    headers = {"Host": "inner:8080"} | host | proto | prefix | forwarded
    secure = bool(proto) or "proto" in forwarded.get("Forwarded", "")
    name = "x.example.org" if host else "inner:8080"
    name = "f.example.org" if "host" in forwarded.get("Forwarded", "") else name
    expected = Place(
        origin=f"{'https' if secure else 'http'}://{name}",
        base_path="/app/files/" if prefix else "/files/",
    )
    assert place_of(BEHIND, headers) == expected
    # Nobody vouches for them without a proxy of ours.
    inner = Place(origin="http://inner:8080", base_path="/files/")
    assert place_of(DIRECT, headers) == inner


@pytest.mark.parametrize(
    ("name", "value", "origin"),
    [
        # realistic: of a list the client's side comes first
        ("X-Forwarded-Proto", "https, http", "https://inner"),
        ("X-Forwarded-Proto", "HTTPS", "https://inner"),
        ("X-Forwarded-Host", "a.example.org, b.example.org", "http://a.example.org"),
        ("X-Forwarded-Host", "a.example.org:8443", "http://a.example.org:8443"),
        ("Forwarded", "host=a, host=b;proto=https", "http://a"),
        ("Forwarded", 'Host="[::1]:8080";Proto=HTTPS', "https://[::1]:8080"),
        ("Forwarded", "for=x ; host=a ; by=y", "http://a"),
        # synthetic
        ("X-Forwarded-Host", "inner:80", "http://inner"),
        ("X-Forwarded-Proto", "", "http://inner"),
        ("Forwarded", "", "http://inner"),
        # pathological: what is none is as if it had not been sent
        ("X-Forwarded-Proto", "javascript", "http://inner"),
        ("X-Forwarded-Proto", "wss", "http://inner"),
        ("X-Forwarded-Host", "a b<script>", "http://inner"),
        ("X-Forwarded-Host", "user@evil", "http://inner"),
        ("X-Forwarded-Host", "evil/path?", "http://inner"),
        ("Forwarded", "host=evil/path", "http://inner"),
        ("Forwarded", "host", "http://inner"),
        ("Forwarded", ";;;=", "http://inner"),
    ],
)
def test_lists_case_and_junk(name: str, value: str, origin: str) -> None:
    """The first element of a list counts, in any case of letters, and only if it is valid."""
    assert place_of(BEHIND, {"Host": "inner", name: value}).origin == origin


@pytest.mark.parametrize(
    ("prefix", "base_path"),
    [
        # realistic
        ("/app", "/app/files/"),
        ("/app/", "/app/files/"),
        ("/a/b-c_d.e~f", "/a/b-c_d.e~f/files/"),
        ("/a, /b", "/a/files/"),
        # pathological
        ("app", "/files/"),
        ("/", "/files/"),
        ("//evil", "/files/"),
        ("/a//b", "/files/"),
        ("/a b", "/files/"),
        ("/a%2fb", "/files/"),
        ("/a?b", "/files/"),
        ("https://evil", "/files/"),
        ("\\evil", "/files/"),
    ],
)
def test_a_prefix_is_put_before_the_path(prefix: str, base_path: str) -> None:
    """The path that a proxy has cut off comes back, if it is a plain one."""
    assert place_of(BEHIND, {"Host": "x", "X-Forwarded-Prefix": prefix}).base_path == base_path


def test_a_default_port_goes_with_its_scheme() -> None:
    """The port that a proxy names is left out if it is the one that https has anyway."""
    for host, proto in itertools.product(["a:443", "a:80"], ["http", "https"]):
        place = place_of(BEHIND, {"Host": host, "X-Forwarded-Proto": proto})
        default = (host, proto) in {("a:443", "https"), ("a:80", "http")}
        assert place.origin == (f"{proto}://a" if default else f"{proto}://{host}")
