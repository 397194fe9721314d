"""The description of the API of operators (OpenAPI 3.1), made from what its handlers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from ...interfaces.history import Period
from .api import EventList, EventQuery, ListQuery, OperatorStatus, Retried, Retry, UploadList

PATH: Final = "/api/openapi.json"

_SCHEMAS = "#/components/schemas/"
_JSON = "application/json"
# The API grows by fields and paths; what takes some away gets another number.
_VERSION = "1.0"


class LiveUpload(BaseModel):
    """An upload that is being received now."""

    id: str
    name: str | None = Field(description="of its metadata: filename, or name")
    owner: str | None
    length: int | None = Field(ge=0)
    offset: int = Field(ge=0)
    bytes_per_s: float = Field(ge=0)
    eta_s: float | None = Field(ge=0)
    began_at: float = Field(description="of this request, in seconds since the epoch")


class Live(BaseModel):
    """What all processes of the server are receiving now."""

    count: int = Field(ge=0, description="of all uploads; those shown may be fewer")
    bytes_per_s: float = Field(ge=0, description="of all together")
    uploads: list[LiveUpload] = Field(description="those first that began first")
    whole: bool = Field(description="whether all processes could be seen")


class Sizes(BaseModel):
    """Finished uploads by size."""

    up_to_bytes: list[int]
    uploads: list[int] = Field(description="one more than bounds: the last ones are larger")
    mean_bytes: float | None


class Durations(BaseModel):
    """Finished uploads by the time they took."""

    up_to_s: list[int]
    uploads: list[int] = Field(description="one more than bounds: the last ones took longer")
    mean_s: float | None


class Statistics(BaseModel):
    """What happened in a period."""

    period: str
    step_s: int
    since: float = Field(alias="from", description="seconds since the epoch")
    now: float
    totals: dict[str, int]
    success_rate: float | None = Field(description="finished, of all that came to an end")
    bytes_per_s: float
    interrupted: dict[str, int] = Field(description="by the code of the error")
    refused: dict[str, int] = Field(description="by the code of the error")
    hook_errors: dict[str, int] = Field(description="by hook")
    sizes: Sizes
    durations: Durations
    steps: list[dict[str, int]] = Field(description="oldest first")
    up_to_date: bool = Field(description="whether what this process counted is among it")


_MODELS: Sequence[type[BaseModel]] = (
    OperatorStatus,
    UploadList,
    EventList,
    Retry,
    Retried,
    Live,
    LiveUpload,
    Statistics,
    Sizes,
    Durations,
)


def describe_api(*, token: bool = False) -> Mapping[str, Any]:
    """Return the document.

    Args:
        token: whether each request needs one.
    """
    _, found = models_json_schema(
        [(model, "serialization") for model in _MODELS], ref_template=_SCHEMAS + "{model}"
    )
    components: dict[str, Any] = {"schemas": dict(sorted(found["$defs"].items()))}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "tusd_py for operators",
            "version": _VERSION,
            "description": "On the admin listener (`--admin-listen`). Errors are one line of"
            " plain text, `CODE: sentence`.",
        },
        "paths": {**_of_uploads(), **_of_events(), **_of_insight()},
        "components": components,
    }
    if token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def openapi_routes(*, token: bool) -> Sequence[web.AbstractRouteDef]:
    """Return the route of the document."""
    document = describe_api(token=token)

    async def show(_: web.Request) -> web.Response:
        return web.json_response(document, headers={"X-Content-Type-Options": "nosniff"})

    return [web.get(PATH, show)]


def _of_uploads() -> dict[str, Any]:
    return {
        "/api/uploads": {
            "get": {
                "summary": "List uploads",
                "parameters": _parameters(ListQuery),
                "responses": _answers(UploadList, 400),
            }
        },
        "/api/uploads/{id}": {
            "parameters": [_ID],
            "get": {"summary": "Show one", "responses": _answers(OperatorStatus, 404)},
            "delete": {
                "summary": "Remove one, whatever is being done to it",
                "parameters": [_CHANGE],
                "responses": _answers(None, 404, 423),
            },
        },
        "/api/uploads/{id}/expire": {
            "parameters": [_ID],
            "post": {
                "summary": "Remove one as if its time were over",
                "parameters": [_CHANGE],
                "responses": _answers(None, 404, 423),
            },
        },
    }


def _of_events() -> dict[str, Any]:
    return {
        "/api/events": {
            "get": {
                "summary": "List the events that hooks have not taken yet",
                "parameters": _parameters(EventQuery),
                "responses": _answers(EventList, 400),
            }
        },
        "/api/events/retry": {
            "post": {
                "summary": "Deliver now what has failed",
                "requestBody": {"required": True, "content": {_JSON: {"schema": _ref(Retry)}}},
                "responses": _answers(Retried, 400),
            }
        },
    }


def _of_insight() -> dict[str, Any]:
    live = {_JSON: {"schema": _ref(Live)}, "text/event-stream": {"schema": {"type": "string"}}}
    return {
        "/api/live": {
            "get": {
                "summary": "See what is being received now; as events, once a second, if"
                " text/event-stream is accepted; not there with history off",
                "responses": {
                    **_refusals(404, 503),
                    "200": {"description": "Done.", "content": live},
                },
            }
        },
        "/api/stats": {
            "get": {
                "summary": "See what happened lately; not there with history off",
                "parameters": [_PERIOD],
                "responses": _answers(Statistics, 400, 404),
            }
        },
        PATH: {
            "get": {
                "summary": "This document",
                "responses": {
                    **_refusals(),
                    "200": {
                        "description": "Done.",
                        "content": {_JSON: {"schema": {"type": "object"}}},
                    },
                },
            }
        },
    }


_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "of the upload; one with slashes is given as it is",
    "schema": {"type": "string"},
}
_CHANGE: Final = {
    "name": "X-Requested-With",
    "in": "header",
    "required": True,
    "description": "anything: pages of other sites cannot send it",
    "schema": {"type": "string"},
}
_PERIOD: Final = {
    "name": "period",
    "in": "query",
    "schema": {"enum": [period.label for period in Period], "default": Period.HOUR.label},
}
_REFUSALS: Final = {
    400: "A parameter or the body is wrong.",
    401: "A token is missing or wrong.",
    403: "The request may come from another site.",
    404: "There is no such thing.",
    423: "The upload is in use, and was not given up in time; try again.",
    503: "A store cannot be reached just now; try again.",
}


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    schema = query.model_json_schema(ref_template=_SCHEMAS + "{model}")
    parameters = []
    for name, field in schema["properties"].items():
        shown = {key: value for key, value in field.items() if key not in {"title", "description"}}
        shown.pop("uniqueItems", None)
        if shown.get("default") in (None, "", []):  # as if it were not given
            shown.pop("default", None)
        (shown,) = [kind for kind in shown.pop("anyOf", [shown]) if kind != {"type": "null"}]
        parameters.append(
            {
                "name": name,
                "in": "query",
                "description": field["description"],
                # A comma list is one parameter, not one for each.
                **({"explode": False} if shown.get("type") == "array" else {}),
                "schema": shown,
            }
        )
    return parameters


def _answers(body: type[BaseModel] | None, *refusals: int) -> dict[str, Any]:
    if body is None:
        done: dict[str, Any] = {"204": {"description": "Done."}}
    else:
        done = {"200": {"description": "Done.", "content": {_JSON: {"schema": _ref(body)}}}}
    return {**done, **_refusals(*refusals, 503)}


def _refusals(*statuses: int) -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        str(status): {"description": _REFUSALS[status], "content": text}
        for status in sorted({401, 403, *statuses})
    }


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"{_SCHEMAS}{model.__name__}"}
