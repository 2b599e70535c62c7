"""The SQL of the two roles and `grant_rights`, on a real PostgreSQL."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

ROOT = Path(__file__).parents[2]
PSQL = shutil.which("psql")

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(PSQL is None, reason="psql is not installed"),
]


@pytest.fixture
def roles(tmp_path):
    """Run the SQL with names of its own, and yield a function that returns a role's DATABASE_URL."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has roles")
    name = f"lk{secrets.token_hex(4)}"
    script = tmp_path / "roles.sql"
    text = (ROOT / "deploy" / "postgresql" / "roles.sql").read_text()
    script.write_text(text.replace("latchkey", name))
    params = connection.get_connection_params()
    server = {"PGHOST": params["host"], "PGUSER": params["user"], "PATH": os.environ["PATH"]}
    server |= {"PGPASSWORD": params["password"]} if params.get("password") else {}
    passwords = ["-v", "owner_password=o", "-v", "app_password=a"]
    command = [str(PSQL), "-q", *passwords, "-f", str(script), "postgres"]
    done = subprocess.run(
        command, env=server, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    try:
        yield (
            lambda role: (
                f"postgresql://{name}_{role}:{role[0]}@{quote(params['host'], safe='')}/{name}"
            )
        )
    finally:
        drop = f"DROP DATABASE {name} (FORCE)", f"DROP ROLE {name}_owner", f"DROP ROLE {name}_app"
        for statement in drop:
            subprocess.run(
                [str(PSQL), "-qc", statement, "postgres"], env=server, timeout=60, check=True
            )


def manage(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_service_has_no_more_rights_than_it_needs(roles):
    owner, app = roles("owner"), roles("app")
    role = app.split("/")[2].split(":")[0]
    for arguments in (["migrate", "-v", "0"], ["grant_rights", role]):
        done = manage(owner, *arguments)
        assert done.returncode == 0, done.stderr
    own = manage(app, "grant_rights", role)
    assert own.returncode == 2
    assert "run the command as the owner" in own.stderr

    doctor = manage(app, "doctor", "--egress-url", "http://127.0.0.1:9/")
    assert "ok       role" in doctor.stdout
    assert "ok       keys" in doctor.stdout

    with psycopg.connect(app, autocommit=True) as database:
        database.execute("SELECT 1 FROM events_event")
        database.execute("DELETE FROM credentials_credential")
        for statement in (
            "UPDATE events_event SET ip = NULL",
            "DELETE FROM events_eventseal",
            "TRUNCATE events_event",
            "DELETE FROM django_migrations",
            "CREATE TABLE own (id int)",
            "DROP TABLE events_event",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                database.execute(statement)
    with psycopg.connect(owner, autocommit=True) as database:
        database.execute("CREATE TABLE of_a_later_migration (id serial)")
    with psycopg.connect(app, autocommit=True) as database:
        # By the default privileges, before grant_rights runs again.
        database.execute("INSERT INTO of_a_later_migration DEFAULT VALUES")
