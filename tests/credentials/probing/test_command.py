"""manage.py check_health."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.factories import make_account, make_credential

pytestmark = pytest.mark.django_db


def run_command(capsys: Any, **options: str) -> tuple[str, int]:
    """Run the command. Return its output and exit code."""
    try:
        call_command("check_health", **options)
    except SystemExit as end:
        return capsys.readouterr().out.strip(), int(end.code or 0)
    return capsys.readouterr().out.strip(), 0


def test_command_checks_all_and_counts(key, account, stripe, capsys):
    make_credential(account)
    assert run_command(capsys) == ("unknown=0 ok=2 warn=0 error=0", 0)


def test_error_sets_exit_code(key, stripe, capsys):
    stripe.say(401)
    assert run_command(capsys) == ("unknown=0 ok=0 warn=0 error=1", 1)


def test_filter_by_account(key, stripe, capsys):
    make_credential(make_account("Other"))
    assert run_command(capsys, account=key.account.slug)[0] == "unknown=0 ok=1 warn=0 error=0"


def test_filter_by_provider(key, stripe, capsys):
    assert run_command(capsys, provider="sendgrid")[0] == "unknown=0 ok=0 warn=0 error=0"
    assert stripe.requests == []


def test_filter_by_status(key, account, stripe, capsys):
    run_command(capsys)
    stripe.server.requests.clear()
    assert run_command(capsys, status="error")[0] == "unknown=0 ok=0 warn=0 error=0"
    assert stripe.requests == []


def test_unknown_account_is_named(db):
    with pytest.raises(CommandError, match="no account 'nobody'; create_account makes one"):
        call_command("check_health", account="nobody")
