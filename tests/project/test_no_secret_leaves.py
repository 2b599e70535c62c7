"""Known secrets in every place that takes one: none is in a response, a log, a table or an export."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from tests.api import ApiClient
from tests.project.canaries import CANARIES, dump_database, find_leaks, list_spellings
from tests.project.routes import list_routes
from tests.project.walk import Walk

# The walk has a transaction of its own; this mark creates the database.
pytestmark = [pytest.mark.django_db, pytest.mark.slow]
SECRETS = list(CANARIES.items())
OURS = [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]
"""The handlers of config.logging, whose formatter redacts and writes JSON."""


class RecordingHandler(logging.Handler):
    """Records all that is logged: the line, the traceback, our handler's output, and the fields."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The request is an attribute for error reporters; its repr is an address in memory.
        fields = {name: value for name, value in vars(record).items() if name != "request"}
        self.lines += [self.format(record), repr(fields)]
        self.lines += [handler.format(record) for handler in OURS]


@pytest.fixture(scope="module")
def left(django_db_setup, django_db_blocker) -> Iterator[dict[str, Any]]:
    """Walk once, and yield what the walk and the commands left behind, by place."""
    log = RecordingHandler()
    root = logging.getLogger()
    before = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    block: Any = transaction.atomic()
    # Egress rejects calls in any other transaction.
    block._from_testcase = True
    with django_db_blocker.unblock(), block, pytest.MonkeyPatch.context() as patch:
        walk = Walk(patch).run()
        yield {
            "walk": walk,
            "answers": b"\n\n".join(walk.responses),
            "tables": dump_database(),
            "events": ApiClient(walk.token).get("/v1/events?limit=200").content,
            "in full": ApiClient(walk.token).get("/v1/oauth-apps?truncate_secrets=false"),
            "export ndjson": _run_command("export_credentials", walk, format="ndjson"),
            "export csv": _run_command("export_credentials", walk, format="csv"),
            "import": _run_import(walk),
            "tables after": dump_database(),
            "log": "\n".join(log.lines).encode(),
        }
        transaction.set_rollback(True)
    root.removeHandler(log)
    root.setLevel(before)


def _run_command(command: str, walk: Walk, *arguments: str, **options: Any) -> bytes:
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            call_command(command, *arguments, account=walk.account.slug, **options)
        except (Exception, SystemExit) as ended:
            err.write(repr(ended))
    return out.buffer.getvalue() + err.buffer.getvalue()


def _run_import(walk: Walk) -> bytes:
    """Return the output and the report of an import of valid, invalid and broken lines."""
    bad = [{"properties": {**body["properties"], "nope": 1}} for body in walk.make_bodies()]
    lines = [json.dumps(body) for body in (*walk.make_bodies(), *bad, CANARIES["rejected"])]
    with tempfile.TemporaryDirectory() as folder:
        source, report = Path(folder, "in.ndjson"), Path(folder, "report.ndjson")
        source.write_text("\n".join([*lines, lines[0][:-4]]))
        printed = _run_command("import_credentials", walk, str(source), report=str(report))
        return printed + report.read_bytes()


def list_tokens(walk: Walk) -> list[tuple[str, str]]:
    """Return the tokens without their visible prefixes, which are stored."""
    webhooks = [("webhook secret", secret.removeprefix("whsec_")) for secret in walk.issued_secrets]
    return [("token", walk.token[8:]), ("session", walk.session[13:]), *webhooks]


@pytest.mark.parametrize(
    "place",
    ["answers", "log", "tables", "tables after", "events", "export ndjson", "export csv", "import"],
)
def test_no_secret_is_in(left, place):
    assert list(find_leaks(left[place], [*SECRETS, *list_tokens(left["walk"])])) == []


@pytest.mark.parametrize(
    ("place", "known"),
    [
        ("answers", "checkout_champ_password"),
        ("log", "unexpected"),
        ("tables", "checkout_champ_password"),
        ("events", "credential.created"),
        ("export ndjson", "linear_oauth2"),
        ("export csv", "linear_oauth2"),
        ("import", "rejected="),
        ("import", '"line"'),
    ],
)
def test_the_search_finds_what_is_there(left, place, known):
    assert list(find_leaks(left[place], [("known", known)]))


def test_truncate_secrets_false_shows_one_secret_only(left):
    response = left["in full"]
    assert response.status_code == 200
    assert {n for n, secret in SECRETS if any(find_leaks(response.content, [(n, secret)]))} == {
        "pem"
    }
    assert response["Cache-Control"] == "no-store"


def test_the_walk_calls_every_route_that_writes(left):
    def to_template(call: str) -> str:
        path = re.sub(r"[0-9a-f-]{36}", "{pk}", call.partition("?")[0])
        return path.replace("{pk}/deliveries", "{endpoint_id}/deliveries")

    called_routes = {to_template(call) for call, _ in left["walk"].calls} | {"POST /api/auth/login"}
    missing = {route.name for route in list_routes() if route.method != "GET"} - called_routes
    assert missing <= {"DELETE /api/credentials/{pk}"}


def test_the_walk_receives_every_error_status(left):
    statuses = {status for _, status in left["walk"].calls}
    assert statuses >= {200, 201, 204, 400, 401, 404, 409, 412, 415, 422}


@pytest.mark.parametrize("name", CANARIES)
def test_a_secret_is_found_in_each_spelling(name):
    for spelling in list_spellings(CANARIES[name]):
        assert list(find_leaks(b"before " + spelling + b" after", [(name, CANARIES[name])]))
