"""With the rights of `grant_rights`, the service's role works but cannot change an event."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction

from events.hash_chain import write_next_checkpoint
from events.models import Event
from tests.api import ApiClient
from tests.factories import make_account, make_stripe_body, make_token

ROLE = "latchkey_app"

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no roles"),
    pytest.mark.django_db,
]


@pytest.fixture
def as_service_role(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        if not cursor.fetchone()[0]:
            pytest.skip("the role of the tests may not create roles")
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE ROLE {ROLE} NOLOGIN")
        call_command("grant_rights", ROLE, stdout=io.StringIO())
        cursor.execute(f"SET LOCAL ROLE {ROLE}")


@pytest.mark.usefixtures("as_service_role")
def test_service_role_can_write_and_verify():
    account = make_account()
    api = ApiClient(make_token(account))
    created = api.post("/v1/credentials", make_stripe_body()).json()
    path = f"/v1/credentials/{created['id']}"
    assert api.patch(path, {"name": "New"}).status_code == 200
    assert api.delete(path).status_code == 204
    verbs = [event["verb"] for event in api.get("/v1/events").json()["data"]]
    assert verbs[:3] == ["credential.deleted", "credential.updated", "credential.created"]
    write_next_checkpoint()
    call_command("verify_events")


@pytest.mark.usefixtures("as_service_role")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events_event SET verb = 'x'",
        "DELETE FROM events_event",
        "TRUNCATE events_event",
        "UPDATE events_eventseal SET count = 0",
        "DELETE FROM events_eventseal",
        "ALTER TABLE events_event ADD COLUMN x int",
    ],
)
def test_service_role_cannot_change_events_or_checkpoints(statement):
    make_account()
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert Event.objects.exists()
