"""Collected failures are reported, and a case leaves nothing behind."""

from __future__ import annotations

import pytest

from accounts.models import Account
from tests.factories import make_account
from tests.project.cases import collect_failures


def run_cases() -> None:
    with collect_failures() as case:
        with case("first"):
            make_account("First")
            raise AssertionError
        with case("second"):
            make_account("Second")
        with case("third"):
            raise KeyError


def test_each_failure_is_reported_and_rolled_back(db):
    with pytest.raises(AssertionError, match=r"(?s)first: AssertionError.*third: KeyError"):
        run_cases()
    assert not Account.objects.exists()
