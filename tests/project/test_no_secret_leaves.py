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

# The walk has a transaction of its own; this is what makes the database be there.
pytestmark = [pytest.mark.django_db, pytest.mark.slow]
SECRETS = list(CANARIES.items())
OURS = [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]
"""What config.logging installed: its formatter redacts and writes JSON."""


class Kept(logging.Handler):
    """All that was logged: the line, the traceback, what our handler makes of it, and its fields."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The request itself rides along for error reporters; its address is not written down.
        fields = {name: value for name, value in vars(record).items() if name != "request"}
        self.lines += [self.format(record), repr(fields)]
        self.lines += [handler.format(record) for handler in OURS]


@pytest.fixture(scope="module")
def left(django_db_setup, django_db_blocker) -> Iterator[dict[str, Any]]:
    """The walk, once; and what it and the commands left behind, by place."""
    log = Kept()
    root = logging.getLogger()
    before = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    block: Any = transaction.atomic()
    block._from_testcase = True  # Egress refuses to wait in any other.
    with django_db_blocker.unblock(), block, pytest.MonkeyPatch.context() as patch:
        walk = Walk(patch).run()
        yield {
            "walk": walk,
            "answers": b"\n\n".join(walk.responses),
            "tables": dump_database(),
            "events": ApiClient(walk.token).get("/v1/events?limit=200").content,
            "in full": ApiClient(walk.token).get("/v1/oauth-apps?truncate_secrets=false"),
            "export ndjson": _printed("export_credentials", walk, format="ndjson"),
            "export csv": _printed("export_credentials", walk, format="csv"),
            "import": _import(walk),
            "tables after": dump_database(),
            "log": "\n".join(log.lines).encode(),
        }
        transaction.set_rollback(True)
    root.removeHandler(log)
    root.setLevel(before)


def _printed(command: str, walk: Walk, *arguments: str, **options: Any) -> bytes:
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            call_command(command, *arguments, account=walk.account.slug, **options)
        except (Exception, SystemExit) as ended:
            err.write(repr(ended))
    return out.buffer.getvalue() + err.buffer.getvalue()


def _import(walk: Walk) -> bytes:
    """What a command says of a file with good, bad and broken lines, and its report."""
    bad = [{"properties": {**body["properties"], "nope": 1}} for body in walk.bodies()]
    lines = [json.dumps(body) for body in (*walk.bodies(), *bad, CANARIES["rejected"])]
    with tempfile.TemporaryDirectory() as folder:
        source, report = Path(folder, "in.ndjson"), Path(folder, "report.ndjson")
        source.write_text("\n".join([*lines, lines[0][:-4]]))
        printed = _printed("import_credentials", walk, str(source), report=str(report))
        return printed + report.read_bytes()


def held(walk: Walk) -> list[tuple[str, str]]:
    """The bearers without the part that is kept to tell one from another."""
    webhooks = [("webhook secret", secret.removeprefix("whsec_")) for secret in walk.handed_out]
    return [("token", walk.token[8:]), ("session", walk.session[13:]), *webhooks]


@pytest.mark.parametrize(
    "place",
    ["answers", "log", "tables", "tables after", "events", "export ndjson", "export csv", "import"],
)
def test_no_secret_is_in(left, place):
    assert list(find_leaks(left[place], [*SECRETS, *held(left["walk"])])) == []


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
def test_the_search_looks_where_something_is(left, place, known):
    assert list(find_leaks(left[place], [("known", known)]))


def test_a_secret_in_full_is_shown_to_who_may_see_it_alone(left):
    response = left["in full"]
    assert response.status_code == 200
    assert {n for n, secret in SECRETS if any(find_leaks(response.content, [(n, secret)]))} == {
        "pem"
    }
    assert response["Cache-Control"] == "no-store"


def test_the_walk_takes_every_route_that_writes(left):
    def template(call: str) -> str:
        called = re.sub(r"[0-9a-f-]{36}", "{pk}", call.partition("?")[0])
        return called.replace("{pk}/deliveries", "{endpoint_id}/deliveries")

    taken = {template(call) for call, _ in left["walk"].seen} | {"POST /api/auth/login"}
    missing = {route.name for route in list_routes() if route.method != "GET"} - taken
    assert missing <= {"DELETE /api/credentials/{pk}"}


def test_the_walk_meets_every_refusal(left):
    met = {status for _, status in left["walk"].seen}
    assert met >= {200, 201, 204, 400, 401, 404, 409, 412, 415, 422}


@pytest.mark.parametrize("name", CANARIES)
def test_a_secret_is_found_in_each_spelling(name):
    for spelling in list_spellings(CANARIES[name]):
        assert list(find_leaks(b"before " + spelling + b" after", [(name, CANARIES[name])]))
