"""The limits of an owner, as tokens name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final

from ..interfaces import Grant
from ..protocol.quota import NO_QUOTA, Quota

_OF_ONE_UPLOAD: Final = "upload_bytes_per_second"
LIMITS: Final = frozenset({*asdict(NO_QUOTA), _OF_ONE_UPLOAD})
# Of these nothing would come to an end at 0.
RATES: Final = frozenset({"bytes_per_second", _OF_ONE_UPLOAD})


def with_limits(grant: Grant, limits: Mapping[str, int]) -> Grant:
    """Return the grant with limits by their names, some of `LIMITS`."""
    of_owner = {name: limit for name, limit in limits.items() if name != _OF_ONE_UPLOAD}
    quota = Quota(**of_owner) if of_owner else None
    return replace(grant, quota=quota, bytes_per_second=limits.get(_OF_ONE_UPLOAD))
