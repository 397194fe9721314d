"""What the answers of hooks change; they are checked like what a client sends (faults A101)."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from ..interfaces import HookReply, ResponseChange, UploadLimits
from ..protocol.errors import InternalError, InvalidMetadata
from ..protocol.metadata import format_metadata
from ..protocol.model import Upload, parse_upload_id
from ..protocol.quota import NO_QUOTA

_log = logging.getLogger(__name__)

# RFC 9110, 5.6.2 and 5.5.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
# The connection's, the framing's and the protocol's own: a hook that could set them could break
# what the client relies on.
_NOT_THEIRS = re.compile(
    r"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade"
    r"|content-length|content-encoding|location|tus-.*|upload-.*",
    re.IGNORECASE,
)


def apply_reply(upload: Upload, reply: HookReply) -> Upload:
    """Return the upload as a pre-create hook wants it.

    Raises:
        InternalError: the hook returned what cannot be.
    """
    if reply.id is not None:
        upload_id = parse_upload_id(reply.id)
        if upload_id is None:
            raise InternalError
        upload = replace(upload, id=upload_id)
    if reply.limits is not None:
        upload = _limited(upload, reply.limits)
    if reply.metadata is not None:
        pairs = {key: value.encode() for key, value in reply.metadata.items()}
        try:
            upload = replace(upload, metadata=format_metadata(pairs))
        except InvalidMetadata as error:
            raise InternalError from error  # the hook's fault, not the client's
    return upload


def _limited(upload: Upload, limits: UploadLimits) -> Upload:
    """Return the upload with limits of a hook: a size only ever shrinks."""
    sizes = [size for size in (upload.max_size, limits.max_size) if size is not None]
    quota = upload.quota
    if limits.quota is not None:
        quota = limits.quota.over(upload.quota or NO_QUOTA)
    return replace(
        upload,
        max_size=min(sizes, default=None),
        quota=quota,
        bytes_per_second=limits.bytes_per_second or upload.bytes_per_second,
    )


def checked_response(change: ResponseChange, *, refused: bool) -> ResponseChange:
    """Return as much of the change as may be made to the answer.

    Args:
        change: what the hook wants.
        refused: the answer is that of a refusal, which must not look like success.

    Raises:
        InternalError: a header is none, and may be an attack; or what is said is no text.
    """
    if change.body is not None and not _can_be_sent(change.body):
        raise InternalError
    headers = {}
    for name, value in change.headers.items():
        is_field = _TOKEN.fullmatch(name) and _FIELD_VALUE.fullmatch(value)
        if not is_field or not _can_be_sent(value):
            raise InternalError
        if _NOT_THEIRS.fullmatch(name):
            _log.warning("HookHeaderIgnored", extra={"header": name})
        else:
            headers[name] = value
    status = change.status
    if status is not None and not (400 if refused else 200) <= status <= 599:
        _log.warning("HookStatusIgnored", extra={"status": status})
        status = None
    return ResponseChange(status=status, body=change.body, headers=headers)


def _can_be_sent(text: str) -> bool:
    """Whether it is text: a half of a surrogate pair, which Python allows, is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
