"""One code sent to two processes concurrently."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.accounts.factor import compute_code, make_authenticator, make_recovery_codes
from tests.factories import make_staff
from tests.webhooks.test_processes import database
from vault.services import clear_index_key_cache, get_index_key

ROOT = Path(__file__).parents[2]
PROCESSES = 2

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


def process(user_id: int, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.accounts.guess", str(user_id), code],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATABASE_URL": database(),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def try_concurrently(user_id: int, code: str) -> list[str]:
    """Return what each process prints, sorted."""
    children = [process(user_id, code) for _ in range(PROCESSES)]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
    return sorted(child.communicate(timeout=60)[0].strip() for child in children)


def test_recovery_code_is_accepted_by_one_of_two_processes():
    clear_index_key_cache()  # That of an earlier test is not in the database any more.
    get_index_key()
    staff = make_staff()
    make_recovery_codes(staff, "abcdefghabcdefgh")
    assert try_concurrently(staff.pk, "abcdefghabcdefgh") == ["accepted", "rejected"]


def test_time_based_code_is_accepted_by_one_of_two_processes():
    staff = make_staff()
    make_authenticator(staff)
    assert try_concurrently(staff.pk, compute_code()) == ["accepted", "rejected"]
