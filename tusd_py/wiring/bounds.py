"""The limits of all uploads together, as the settings name them."""

from __future__ import annotations

from ..config import Settings
from ..protocol.quota import Quota
from ..service.policy import Bounds


def make_bounds(settings: Settings) -> Bounds:
    """Return the limits; in settings 0 is none."""
    return Bounds(
        server=Quota(
            open_uploads=settings.max_open_uploads or None,
            total_bytes=int(settings.max_total_bytes) or None,
            uploads_per_minute=settings.max_uploads_per_minute or None,
            bytes_per_second=int(settings.max_bytes_per_second) or None,
        ),
        owner=Quota(
            open_uploads=settings.owner_max_open_uploads or None,
            total_bytes=int(settings.owner_max_total_bytes) or None,
            uploads_per_minute=settings.owner_max_uploads_per_minute or None,
            bytes_per_second=int(settings.owner_max_bytes_per_second) or None,
        ),
        upload_bytes_per_second=int(settings.upload_max_bytes_per_second) or None,
        min_free_bytes=int(settings.min_free_space),
        counted=settings.count_uploads or settings.auth_jwt_quota_claim is not None,
    )
