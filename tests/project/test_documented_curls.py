"""The documented calls of the two APIs, by curl over a real connection, with our host and token."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common import datetimes
from tests.factories import (
    make_account,
    make_app,
    make_credential,
    make_staff,
    make_stripe_body,
    make_token,
)
from vault.services import clear_index_key_cache

CALLS = json.loads((Path(__file__).parent.parent / "data/documented_calls.json").read_text())
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TYPES: dict[str, Callable[[Any], bool]] = {
    "uuid": lambda v: isinstance(v, str) and UUID.fullmatch(v) is not None,
    "string": lambda v: isinstance(v, str) and v != "",
    "strings": lambda v: isinstance(v, list) and all(isinstance(item, str) for item in v),
    "mask": lambda v: isinstance(v, str) and re.fullmatch(r"\*{8,}", v) is not None,
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: type(v) is int,
    "integer or null": lambda v: v is None or type(v) is int,
    "object": lambda v: isinstance(v, dict),
    "time": lambda v: (
        isinstance(v, str) and v.endswith("Z") and datetimes.parse_rfc3339(v) is not None
    ),
}


@pytest.fixture
def names(live_server):
    """Yield the values of the documents' placeholders."""
    clear_index_key_cache()
    account = make_account("Acme")
    app = make_app(account, "stripe")
    body = make_stripe_body(metadata={"custom_property": 42}, oauth_app_id=str(app.id))
    yield {
        "HOST": live_server.url,
        "TOKEN": make_token(account),
        "APP": str(app.id),
        "ID": str(make_credential(account, body).id),
        "SESSION": "",
    }
    # The cached key belongs to rows that are gone after the test.
    clear_index_key_cache()


def curl(arguments: list[str], names: dict[str, str]) -> tuple[int, str, Any]:
    """Return the status, the content type and the document of one call."""
    program = shutil.which("curl")
    assert program, "these tests need curl"
    filled = [re.sub(r"\$([A-Z]+)", lambda m: names[m[1]], argument) for argument in arguments]
    options = ["--silent", "--max-time", "20", "--write-out", r"\n%{http_code} %{content_type}"]
    done = subprocess.run(
        [program, *options, *filled], capture_output=True, text=True, check=True, timeout=30
    )
    body, _, last = done.stdout.rpartition("\n")
    status, _, kind = last.partition(" ")
    return int(status), kind, json.loads(body)


def check_fields(path: str, shape: Any, value: Any) -> None:
    """Assert that `value` has every field of `shape`, each of its type."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), path
        for name, part in shape.items():
            assert name in value, f"{path}.{name} is missing"
            check_fields(f"{path}.{name}", part, value[name])
    elif isinstance(shape, list):
        assert isinstance(value, list), path
        assert value, f"{path} is empty"
        for item in value:
            check_fields(f"{path}[]", shape[0], item)
    else:
        assert TYPES[shape](value), f"{path} is {value!r}, no {shape}"


@pytest.mark.parametrize("call", CALLS, ids=[call["name"] for call in CALLS])
def test_a_documented_call_responds_as_documented(names, call):
    if "$SESSION" in str(call["curl"]):
        names["SESSION"] = log_in(names)
    status, kind, document = curl(call["curl"], names)
    assert (status, kind) == (call["status"], call["type"]), document
    check_fields("response", call["answer"], document)


def log_in(names: dict[str, str]) -> str:
    user = make_staff("Viewer", password="correct horse")
    body = json.dumps({"username": user.username, "password": "correct horse"})
    call = ["--url", "$HOST/api/auth/login", "--header", "Content-Type: application/json"]
    status, _, document = curl([*call, "--data", body], names)
    assert status == 200, document
    return str(document["token"])


def test_the_documented_import_twice_is_one_credential(names):
    (call,) = (call for call in CALLS if call["name"] == "import a credential")
    first, again = curl(call["curl"], names)[2], curl(call["curl"], names)[2]
    assert first == again


def test_the_documented_update_changes_the_metadata(names):
    (call,) = (call for call in CALLS if call["name"] == "update a credential")
    document = curl(call["curl"], names)[2]
    assert (document["id"], document["metadata"]) == (names["ID"], {"custom_property": 42})


def test_a_real_chunked_body_is_411(names):
    arguments = ["--request", "POST", "--url", "$HOST/v1/credentials", "--data", "{}"]
    chunked = ["--header", "Transfer-Encoding: chunked", "--header", "Authorization: Bearer $TOKEN"]
    kind = ["--header", "Content-Type: application/json"]
    assert curl([*arguments, *chunked, *kind], names)[0] == 411
