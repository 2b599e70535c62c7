from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import make_staff


@pytest.fixture
def superuser(db: None) -> User:
    return make_staff(is_superuser=True)


@pytest.fixture
def browser(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser)
    return client


@pytest.fixture
def staff_client(db: None) -> Callable[..., Client]:
    """Browsers of staff who are in these groups and nothing else."""

    def logged_in(*groups: str) -> Client:
        client = Client()
        client.force_login(make_staff(*groups))
        return client

    return logged_in


@pytest.fixture
def no_unsealing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every decryption fail from here on."""
    import sys

    import vault.sealing

    # A module that is imported for the first time later would keep the replacement after the test.
    import_module(settings.ROOT_URLCONF)

    def refuse(*_: Any) -> None:
        raise AssertionError("Something was decrypted.")

    original: Callable[..., Any] = vault.sealing.unseal
    for module in list(sys.modules.values()):
        if getattr(module, "unseal", None) is original:
            monkeypatch.setattr(module, "unseal", refuse)
