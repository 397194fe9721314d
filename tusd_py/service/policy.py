"""How uploads are treated."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..interfaces import Durability
from ..protocol.digests import DigestRules
from ..protocol.model import Capabilities, Limits, UploadId
from .filetypes import FileRules


def new_upload_id() -> UploadId:
    """Return 128 random bits as tusd writes them; whoever knows an id may use the upload."""
    return UploadId(secrets.token_hex(16))


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
    clock: Callable[[], float] = time.time
    new_id: Callable[[], UploadId] = new_upload_id
