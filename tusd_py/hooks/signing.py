"""Signatures of the Standard Webhooks specification, by its own library."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
# The specification asks for 24 to 64 random bytes.
_LEAST_BYTES = 24
_MOST_BYTES = 64
_MOST_SECRETS = 2


def parse_secrets(text: str) -> Sequence[str]:
    """Parse one secret, or two while receivers change over to the first, divided by white space.

    Raises:
        ValueError: what is wrong; it never repeats a secret.
    """
    secrets = text.split()
    if not 1 <= len(secrets) <= _MOST_SECRETS:
        raise ValueError("must hold one secret, or two during a rotation")
    for secret in secrets:
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
            raise ValueError(f"must be {PREFIX} and 24 to 64 bytes in base64")
    return secrets


class Signer:
    """Signs requests with every secret, so that a receiver may know any of them.

    Args:
        secrets: from `parse_secrets`.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def headers(self, event_id: str, content: str, now: float) -> Mapping[str, str]:
        """Return the headers for a request that is sent now."""
        at = datetime.fromtimestamp(now, UTC)
        signatures = [webhook.sign(event_id, at, content) for webhook in self._webhooks]
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": " ".join(signatures),
        }
