"""manage.py check_health."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.factories import make_account, make_credential

pytestmark = pytest.mark.django_db


def run(capsys: Any, **options: str) -> tuple[str, int]:
    """What it printed, and the code that it ended with."""
    try:
        call_command("check_health", **options)
    except SystemExit as end:
        return capsys.readouterr().out.strip(), int(end.code or 0)
    return capsys.readouterr().out.strip(), 0


def test_asks_about_all_and_counts(key, account, stripe, capsys):
    make_credential(account)
    assert run(capsys) == ("unknown=0 ok=2 warn=0 error=0", 0)


def test_an_error_is_its_exit_code(key, stripe, capsys):
    stripe.say(401)
    assert run(capsys) == ("unknown=0 ok=0 warn=0 error=1", 1)


def test_one_account_alone(key, stripe, capsys):
    make_credential(make_account("Other"))
    assert run(capsys, account=key.account.slug)[0] == "unknown=0 ok=1 warn=0 error=0"


def test_one_provider_alone(key, stripe, capsys):
    assert run(capsys, provider="sendgrid")[0] == "unknown=0 ok=0 warn=0 error=0"
    assert stripe.requests == []


def test_those_in_one_state_alone(key, account, stripe, capsys):
    run(capsys)
    stripe.server.requests.clear()
    assert run(capsys, status="error")[0] == "unknown=0 ok=0 warn=0 error=0"
    assert stripe.requests == []


def test_an_account_that_is_not_there_is_named(db):
    with pytest.raises(CommandError, match="no account 'nobody'; create_account makes one"):
        call_command("check_health", account="nobody")
