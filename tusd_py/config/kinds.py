"""What values of settings may look like, and how they are written."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from ..interfaces import HookType
from ..protocol.digests import FILE_ALGORITHMS, parse_digest_keys
from ..protocol.placement import parse_template

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 100 * 365 * 86400.0  # so that every date can be written


def _parse_duration(value: object) -> object:
    """Accept tusd's '1m30s' and plain seconds."""
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(n) * _UNIT_S[unit] for n, unit in _DURATION_PART.findall(value))
    return value


def _parse_mode(value: object) -> object:
    """Accept '664', octal as in tusd."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch("[0-7]{3,4}", value):
        raise ValueError("must be three or four octal digits")
    return int(value, 8)


def _parse_names(value: object) -> object:
    """Accept a comma list, with or without blanks."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _check_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    if not FILE_ALGORITHMS.keys() >= set(names):
        raise ValueError(f"must be of {', '.join(FILE_ALGORITHMS)}")
    return tuple(dict.fromkeys(names))


def _check_digest_keys(names: tuple[str, ...]) -> tuple[str, ...]:
    parse_digest_keys(names)
    return names


def _check_template(text: str) -> str:
    parse_template(text)
    return text


def _parse_network(value: object) -> object:
    """Accept an address, or a network such as 10.0.0.0/8."""
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8") from None


def _parse_hook_names(value: object) -> object:
    """Accept a comma list of hooks; as with tusd an empty one means all of them."""
    names = _parse_names(value)
    if names in ((), ("all",)):
        return tuple(HookType)
    if isinstance(names, list | tuple) and (wrong := set(names) - set(HookType)):
        raise ValueError(f"{min(wrong, key=str)} is no hook; there are {', '.join(HookType)}")
    return names


def _parse_address(value: object) -> object:
    """Accept host:port; a port alone is one of loopback."""
    if isinstance(value, int):
        value = str(value)
    found = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):)?([0-9]{1,5})", str(value))
    if not isinstance(value, str) or found is None or int(found[2]) > 65535:
        raise ValueError("must be a port of this machine, or host:port")
    return value if found[1] else f"127.0.0.1:{value}"


Seconds = Annotated[
    float, BeforeValidator(_parse_duration), Field(ge=0, le=_LONGEST_S, allow_inf_nan=False)
]
Count = Annotated[int, Field(ge=0)]
Mode = Annotated[int, BeforeValidator(_parse_mode), Field(ge=0, le=0o7777)]
Names = Annotated[tuple[str, ...], BeforeValidator(_parse_names)]
Algorithms = Annotated[Names, AfterValidator(_check_algorithms)]
DigestKeys = Annotated[Names, AfterValidator(_check_digest_keys)]
PathTemplate = Annotated[str, AfterValidator(_check_template)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_parse_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_parse_names)]
Address = Annotated[str, BeforeValidator(_parse_address)]
HookNames = Annotated[tuple[HookType, ...], BeforeValidator(_parse_hook_names)]


def _slashes_around(value: str) -> str:
    if not value.startswith(("/", "http://", "https://")):
        raise ValueError("must begin with a slash, or be a URL")
    if not re.fullmatch(r"[!-~]+", value) or set(value) & set("?#%{}"):
        raise ValueError("must be a plain path without escapes")
    return value.rstrip("/") + "/"


def _is_plain_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(?:[/?][!-~]*)?", value):
        raise ValueError("must be a URL with http or https")
    return value


def _are_globs(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[A-Za-z0-9.+*_-]+/[A-Za-z0-9.+*_-]+", glob) for glob in value):
        raise ValueError("must be types such as video/mp4 or video/*")
    return tuple(glob.lower() for glob in value)


def _are_extensions(value: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(extension.removeprefix(".").lower() for extension in value)
    if not all(re.fullmatch(r"\w[\w.+-]*", name) for name in names):
        raise ValueError("must be extensions such as mp4 or tar.gz")
    return names


def _is_regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return value


BasePath = Annotated[str, AfterValidator(_slashes_around)]
Url = Annotated[str, AfterValidator(_is_plain_url)]
Globs = Annotated[Names, AfterValidator(_are_globs)]
Extensions = Annotated[Names, AfterValidator(_are_extensions)]
Pattern = Annotated[str, AfterValidator(_is_regular_expression)]
