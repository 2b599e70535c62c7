"""A database and a spool folder made by a former commit are read by this one.

The fixtures come from tools/make_upgrade_fixture.py. Whatever enters a key, a MAC, associated data,
a table's name, a stored code or a spooled file must stay as it was then.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.project import upgrade

pytestmark = [pytest.mark.processes, pytest.mark.both_databases]

ROOT = Path(__file__).parents[2]
SERVER = os.environ.get("TEST_DATABASE_URL", "")
VENDOR = "postgresql" if SERVER.startswith("postgres") else "sqlite"


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((upgrade.DATA / f"{VENDOR}.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Load the former commit's database; yield its URL."""
    sql = gzip.decompress((upgrade.DATA / f"{VENDOR}.sql.gz").read_bytes()).decode()
    if VENDOR == "sqlite":
        file = tmp_path_factory.mktemp("upgrade") / "upgrade.sqlite3"
        connection = sqlite3.connect(file)
        connection.executescript(sql)
        connection.close()
        yield f"sqlite:///{file}"
        return
    name = f"upgrade_{uuid.uuid4().hex}"
    url = f"{SERVER.rpartition('/')[0]}/{name}"
    with psycopg.connect(SERVER, autocommit=True) as administrator:
        administrator.execute(f'CREATE DATABASE "{name}"')
        try:
            with psycopg.connect(url) as loading:
                # As bytes: the statements come from a file of this repository.
                loading.execute(sql.encode())
            yield url
        finally:
            administrator.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def upgraded(database: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Upgrade in a process of its own; return what it found."""
    folder = tmp_path_factory.mktemp("folders")
    process = subprocess.run(
        [sys.executable, "-m", "tests.project.upgrade", VENDOR, str(folder)],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": database},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    results: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return results


def test_every_ciphertext_decrypts(upgraded):
    assert upgraded["verify_keys"]["code"] == 0, upgraded["verify_keys"]
    assert "credentials_credential.secrets k1" in upgraded["verify_keys"]["output"]
    assert "credentials_credential.secrets k2" in upgraded["verify_keys"]["output"]


def test_the_secrets_are_the_same(upgraded, manifest):
    assert manifest["expected"]
    for id, secrets in manifest["expected"].items():
        revealed = {name: upgraded["secrets"][id].get(name) for name in secrets}
        assert revealed == secrets


def test_the_grants_move_with_their_state(upgraded):
    former, moved = upgraded["grants"]["before"], upgraded["grants"]["after"]
    assert len(former) >= 5
    assert moved == former


def test_the_audit_log_verifies(upgraded):
    assert upgraded["verify_events"]["code"] == 0, upgraded["verify_events"]
    assert "faults=0" in upgraded["verify_events"]["output"]
    assert "unsealed=0" not in upgraded["verify_events"]["output"]


def test_events_that_waited_for_the_upgrade_are_covered_by_chains_of_their_accounts(upgraded):
    assert upgraded["covered"] > 0
    assert upgraded["verify_again"]["code"] == 0, upgraded["verify_again"]
    output = upgraded["verify_again"]["output"]
    assert "unsealed=0" in output
    assert "faults=0" in output
    assert "chains=0" not in output
    assert "delays=0" not in output


def test_the_spooled_file_is_replayed(upgraded, manifest):
    assert manifest["spool"]
    assert upgraded["token"] == 200
    assert upgraded["spool"] == []
    assert upgraded["spooled"]["refresh_token"] == manifest["spooled"]["refresh_token"]


def test_every_list_is_served(upgraded):
    assert set(upgraded["statuses"].values()) == {200}, upgraded["statuses"]


def test_events_with_former_verbs_are_found(upgraded):
    assert all(upgraded["events"].values()), upgraded["events"]
