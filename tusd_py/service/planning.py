"""What a new upload will be: by the protocol, its creator's grant, the application, the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..interfaces import DataStore, Grant, HookType, Operation, RequestInfo
from ..protocol.commands import Create
from ..protocol.errors import InternalError
from ..protocol.model import Final, Upload
from ..protocol.rules import check_size, plan_create, plan_final
from .access import Gate
from .asking import Asker
from .policy import Policy
from .transfer import Keeping


class Planner:
    """Plans uploads; nothing is made yet."""

    def __init__(
        self, data: DataStore, policy: Policy, gate: Gate, asker: Asker, keeping: Keeping
    ) -> None:
        self._data = data
        self._policy = policy
        self._gate = gate
        self._asker = asker
        self._keeping = keeping

    async def plan(self, create: Create, grant: Grant, request: RequestInfo) -> Upload:
        """Return the upload that is to be created.

        Raises:
            TusError: there will be none.
        """
        upload_id = self._policy.new_id()
        asked = self._asker.listens_to(HookType.PRE_CREATE)
        upload = plan_create(
            create,
            upload_id=upload_id,
            owner=grant.owner,
            limits=self._policy.limits.capped(grant.max_size),
            now=self._policy.clock(),
            storage=None if asked else self._data.place(upload_id),
        )
        if grant.limited:
            upload = replace(
                upload,
                max_size=grant.max_size,
                types=grant.types,
                quota=grant.quota,
                bytes_per_second=grant.bytes_per_second,
            )
        if isinstance(upload.kind, Final):
            upload = plan_final(
                upload,
                await self._parts(upload.kind, request),
                limits=self._policy.limits,
                capabilities=self._policy.capabilities,
                now=self._policy.clock(),
            )
        await self._keeping.bounded.space.check(upload.length or 0)
        if asked:
            upload = await self._ask(upload, request)
        body_length = None if create.body is None else create.body.length
        check_size(upload, body_length, self._policy.limits)
        self._keeping.types.check_declared(upload)
        self._keeping.digests.check_declared(upload)
        return upload

    async def _ask(self, upload: Upload, request: RequestInfo) -> Upload:
        """Return the upload as the application wants it, where it wants it."""
        upload, path = await self._asker.before_create(upload, request)
        try:
            return replace(upload, storage=self._data.place(upload.id, path))
        except ValueError as error:  # the hook's fault, not the client's
            raise InternalError from error

    async def _parts(self, final: Final, request: RequestInfo) -> Sequence[Upload]:
        concatenate = Operation.CONCATENATE
        return [await self._gate.find(concatenate, part, request) for part in final.parts]
