"""The API of operators on a running server is what its description says: every path and field."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

from tests.program.test_admin import admin_of
from tests.support.raw_http import exchange, request
from tests.support.server import Server, running_server
from tusd_py import Settings, create_admin_app, create_app
from tusd_py.web.admin.openapi import describe_api

V = ("Tus-Resumable", "1.0.0")
CHANGE = {"X-Requested-With": "test"}
DOCUMENT: Any = describe_api()


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    """A server of two workers and its admin listener."""
    folder = tmp_path_factory.mktemp("admin")
    options = ("--admin-listen", "127.0.0.1:0", "--workers", "2", "--expire-after", "1h")
    with running_server(folder / "uploads", *options) as server:
        yield admin_of(server).rstrip("/"), server
        assert server.stop() == 0


def create(server: Server) -> str:
    """Make an upload, and return its id."""
    fields = (V, ("Upload-Length", "10"), ("Upload-Metadata", "filename YQ=="))
    answer = exchange(server.port, request("POST", "/files/", *fields))
    assert answer.status == 201
    return answer.headers["Location"].rpartition("/")[2]


def ask(method: str, url: str, *, body: object = None, **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    data = None if body is None else json.dumps(body).encode()
    fields = {**CHANGE, **({} if data is None else {"Content-Type": "application/json"}), **headers}
    asked = urllib.request.Request(url, data, fields, method=method)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.headers.get_content_type(), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_content_type(), error.read().decode()


def strict(schema: Any) -> Any:
    """Return the schema that allows nothing it does not name, and wants all that it does."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if "properties" in closed:
        closed |= {"additionalProperties": False, "required": sorted(closed["properties"])}
    return closed


def check(method: str, path: str, answer: tuple[int, str, str]) -> Any:
    """Compare an answer with the description; return its JSON."""
    status, content_type, text = answer
    described = DOCUMENT["paths"][path][method.lower()]["responses"][str(status)]
    if status == 204:
        assert (text, "content" in described) == ("", False)
        return None
    schema = described["content"][content_type]["schema"]
    if content_type != "application/json":
        assert re.fullmatch(r"ERR_[A-Z_]+: .+\n", text)
        return None
    found = json.loads(text)
    closed = {**strict(schema), "components": strict(DOCUMENT["components"])}
    Draft202012Validator(closed, format_checker=FormatChecker()).validate(found)
    return found


def test_the_description_is_valid_and_served(admin: tuple[str, Server]) -> None:
    """It is OpenAPI, and what the server gives out is the same."""
    validate(DOCUMENT)
    validate(describe_api(token=True))
    answer = ask("GET", f"{admin[0]}/api/openapi.json")
    assert check("GET", "/api/openapi.json", answer) == json.loads(json.dumps(DOCUMENT))


def test_every_path_is_described(tmp_path: Path) -> None:
    """No route of the API is missing in the description, and it has none that is not served."""
    settings = Settings(upload_dir=tmp_path, admin_listen="127.0.0.1:1")
    routes = {
        (route.method.lower(), (route.resource.canonical).replace(":.+", ""))
        for route in create_admin_app(create_app(settings)).router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }
    described = {
        (method, path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert {(method, path) for method, path in routes if method != "head"} == described


def test_every_answer_is_as_described(admin: tuple[str, Server]) -> None:
    """Every path and method, what is good and what is refused, with every field and no other."""
    url, server = admin
    one, two = create(server), create(server)
    where = "/api/uploads/{id}"
    listed = check("GET", "/api/uploads", ask("GET", f"{url}/api/uploads?limit=1"))
    assert (len(listed["uploads"]), listed["cursor"]) == (1, min(one, two))
    check("GET", "/api/uploads", ask("GET", f"{url}/api/uploads?limit=0"))
    shown = check("GET", where, ask("GET", f"{url}/api/uploads/{one}"))
    assert (shown["id"], shown["metadata"]) == (one, {"filename": "a"})
    check("GET", where, ask("GET", f"{url}/api/uploads/missing"))
    check("GET", where, ask("GET", f"{url}/api/uploads/{one}", Host="evil.example"))
    for method, path in (("DELETE", where), ("POST", f"{where}/expire")):
        upload_id = one if method == "DELETE" else two
        real = f"{url}{path.replace('{id}', upload_id)}"
        assert ask(method, real)[0] == 204
        check(method, path, ask(method, real))
        assert (
            exchange(server.port, request("HEAD", f"/files/{upload_id}", V), "HEAD").status == 404
        )
    assert [path.name for path in server.upload_dir.iterdir() if path.is_file()] == []
    events = check("GET", "/api/events", ask("GET", f"{url}/api/events"))
    assert events == {"events": [], "counts": {"prepared": 0, "pending": 0, "given up": 0}}
    retry = f"{url}/api/events/retry"
    assert check("POST", "/api/events/retry", ask("POST", retry, body={"event": True})) == {
        "due": 0
    }
    check("POST", "/api/events/retry", ask("POST", retry, body={}))
    assert check("GET", "/api/live", ask("GET", f"{url}/api/live"))["count"] == 0
    for period in ("hour", "week"):
        found = check("GET", "/api/stats", ask("GET", f"{url}/api/stats?period={period}"))
        assert found["period"] == period
    check("GET", "/api/stats", ask("GET", f"{url}/api/stats?period=year"))
