"""Who may do what: asks the application, and tells others nothing about an upload."""

from __future__ import annotations

from ..interfaces import Access, Authorize, Grant, HookType, OffsetStore, Operation, RequestInfo
from ..protocol.errors import UploadDamaged, UploadNotFound
from ..protocol.model import Upload, UploadId
from .asking import Asker


async def allow_all(access: Access) -> str | None:
    """Allow everybody everything, on behalf of nobody in particular."""
    return None


_TO_ANYBODY = Grant(owner=None)


class Gate:
    """What every operation passes before anything is claimed or changed.

    A missing upload and one of somebody else take the same steps: one record is looked for, the
    application is asked, and the answer is `UploadNotFound`.
    """

    def __init__(self, offsets: OffsetStore, authorize: Authorize, asker: Asker) -> None:
        self._offsets = offsets
        self._authorize = authorize
        self._asker = asker

    async def grant_new(self, request: RequestInfo) -> Grant:
        """Return what is granted to whoever is about to create an upload."""
        return await self._ask(Operation.CREATE, None, request)

    async def find(
        self,
        operation: Operation,
        upload_id: UploadId,
        request: RequestInfo,
        *,
        damaged: bool = False,
    ) -> Upload:
        """Return the record of an upload if the operation may be done to it.

        Args:
            damaged: see `OffsetStore.get`.

        Raises:
            UploadNotFound: there is none, or it belongs to somebody else.
            UploadDamaged: only its owner is told.
            TusError: what the application refuses with, whether there is such an upload or not.
        """
        try:
            upload = await self._offsets.get(upload_id, damaged=damaged)
        except UploadNotFound:
            # Who may not even ask must not learn from the answer that there is nothing.
            await self._ask(operation, None, request)
            raise
        except UploadDamaged:
            await self._check_damaged(operation, upload_id, request)
            raise
        await self._check_owner(operation, upload, request)
        await self._asker.before_access(operation, upload, request)
        return upload

    async def check(
        self,
        operation: Operation,
        upload_id: UploadId,
        request: RequestInfo,
        *,
        damaged: bool = False,
    ) -> None:
        """Do as `find`, where the record comes again with the claim.

        Without authorisation and hooks that one is enough, and nothing is looked up here.
        """
        if self._authorize is not allow_all or self._asker.listens_to(HookType.PRE_ACCESS):
            await self.find(operation, upload_id, request, damaged=damaged)

    async def confirm(self, upload: Upload, request: RequestInfo | None) -> None:
        """Ask once more before an upload is finished: its last body may have taken hours.

        Raises:
            UploadNotFound, TusError: the permission has been withdrawn meanwhile.
        """
        if request is not None and self._authorize is not allow_all:
            await self._check_owner(Operation.FINISH, upload, request)

    async def _check_owner(
        self, operation: Operation, upload: Upload, request: RequestInfo
    ) -> None:
        if (await self._ask(operation, upload, request)).owner != upload.owner:
            raise UploadNotFound

    async def _check_damaged(
        self, operation: Operation, upload_id: UploadId, request: RequestInfo
    ) -> None:
        """Look whose the damaged upload is; if nothing tells that, it is nobody's."""
        if self._authorize is allow_all:
            return
        try:
            upload = await self._offsets.get(upload_id, damaged=True)
        except UploadDamaged:
            await self._ask(operation, None, request)
            raise UploadNotFound from None
        await self._check_owner(operation, upload, request)

    async def _ask(
        self, operation: Operation, upload: Upload | None, request: RequestInfo
    ) -> Grant:
        if self._authorize is allow_all:
            return _TO_ANYBODY
        access = Access(operation=operation, request=request, upload=upload)
        granted = await self._authorize(access)
        return granted if isinstance(granted, Grant) else Grant(owner=granted)
