"""How uploads are treated."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..interfaces import Durability
from ..protocol.digests import DigestRules
from ..protocol.model import Capabilities, Limits, UploadId
from ..protocol.quota import NO_QUOTA, Quota
from .filetypes import FileRules


def new_upload_id() -> UploadId:
    """Return 128 random bits as tusd writes them; whoever knows an id may use the upload."""
    return UploadId(os.urandom(16).hex())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What all uploads together may be and do; an application may grant its own to owners.

    Attributes:
        server: what the whole server may have.
        owner: what each owner may have; uploads that have none count as those of one more.
        upload_bytes_per_second: of one upload; None: no limit.
        min_free_bytes: of the volume; 0: all of it may be used.
        counted: count uploads even if nothing here asks for it, for limits that are granted.
    """

    server: Quota = NO_QUOTA
    owner: Quota = NO_QUOTA
    upload_bytes_per_second: int | None = None
    min_free_bytes: int = 0
    counted: bool = False

    @property
    def counting(self) -> bool:
        """Whether uploads have to be counted."""
        return self.counted or self.server.counts or self.owner.counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How uploads are treated; what does not depend on the stores."""

    limits: Limits
    capabilities: Capabilities
    durability: Durability = Durability.COMPLETE
    acquire_lock_timeout_s: float = 20.0
    assembly_wait_s: float = 5.0
    # A client, or a proxy, that hears nothing for much longer may give up.
    digest_wait_s: float = 20.0
    progress_interval_s: float = 1.0
    files: FileRules = field(default_factory=FileRules)
    digests: DigestRules = field(default_factory=DigestRules)
    bounds: Bounds = field(default_factory=Bounds)
    clock: Callable[[], float] = time.time
    new_id: Callable[[], UploadId] = new_upload_id
