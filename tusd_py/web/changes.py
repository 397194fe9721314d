"""What hooks change in an answer."""

from __future__ import annotations

from aiohttp import hdrs, web

from ..interfaces import ResponseChange

_WITHOUT_BODY = frozenset({204, 304})


def change_response(request: web.Request, response: web.Response, change: ResponseChange) -> None:
    """Merge a change into an answer as tusd does: what the hook did not say stays as it was.

    Args:
        change: what the service has let through.
    """
    if change.status is not None:
        response.set_status(change.status)
    if change.body is not None and _may_have_body(request, response):
        response.body = change.body.encode()
        response.headers[hdrs.CONTENT_TYPE] = "text/plain; charset=utf-8"
    response.headers.update(change.headers)


def _may_have_body(request: web.Request, response: web.Response) -> bool:
    """Whether HTTP lets this answer have one."""
    return request.method != hdrs.METH_HEAD and response.status not in _WITHOUT_BODY
