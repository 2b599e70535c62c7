"""The fixtures `key` and `grant` of the health tests."""

import datetime as dt

import pytest

from credentials.notifications import mail
from tests.credentials.health.conftest import grant, key

__all__ = ["grant", "key"]


@pytest.fixture(autouse=True)
def _no_gathering(monkeypatch) -> None:
    """Send mails at once instead of waiting for others."""
    monkeypatch.setattr(mail, "GATHER", dt.timedelta(0))
