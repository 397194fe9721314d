"""What the answers of hooks change."""

from __future__ import annotations

from dataclasses import replace

from ..interfaces import HookReply
from ..protocol.errors import InternalError, InvalidMetadata
from ..protocol.metadata import format_metadata
from ..protocol.model import Upload, parse_upload_id


def apply_reply(upload: Upload, reply: HookReply) -> Upload:
    """Return the upload as a pre-create hook wants it.

    What a hook returns is checked like what a client sends.

    Raises:
        InternalError: the hook returned what cannot be.
    """
    if reply.id is not None:
        upload_id = parse_upload_id(reply.id)
        if upload_id is None:
            raise InternalError
        upload = replace(upload, id=upload_id)
    if reply.metadata is not None:
        pairs = {key: value.encode() for key, value in reply.metadata.items()}
        try:
            upload = replace(upload, metadata=format_metadata(pairs))
        except InvalidMetadata as error:
            raise InternalError from error  # the hook's fault, not the client's
    return upload
