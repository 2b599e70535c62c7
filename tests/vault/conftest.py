from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection

from tests.vault.locker import Locker, format_keys
from vault import key_usage, services
from vault.models import Canary, IndexKey


@pytest.fixture(scope="session")
def _locker_table(django_db_setup, django_db_blocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            editor.create_model(Locker)
        yield
        with connection.schema_editor() as editor:
            editor.delete_model(Locker)


@pytest.fixture(params=["1", "2"])
def suite(request, settings) -> str:
    settings.VAULT_SUITE = request.param
    return str(request.param)


@pytest.fixture
def set_keyring(settings):
    """A function that sets the keyring to the keys of these ids, the primary key first."""

    def use(*ids: str) -> None:
        settings.VAULT_KEYS = format_keys(*ids)

    return use


@pytest.fixture
def vault(_locker_table, db, set_keyring, monkeypatch) -> None:
    """An empty vault with the keyring `k1`, and a table of lockers that rotation covers."""
    _reset_vault(set_keyring, monkeypatch)


@pytest.fixture
def committing_vault(_locker_table, transactional_db, set_keyring, monkeypatch) -> None:
    """The same for tests whose transactions commit."""
    _reset_vault(set_keyring, monkeypatch)


def _reset_vault(set_keyring, monkeypatch) -> None:
    for model in (Canary, IndexKey, Locker):
        model._default_manager.all().delete()
    set_keyring("k1")
    monkeypatch.setattr(services, "_known_index_key", None)
    installed = [*apps.get_models(include_auto_created=True), Locker]
    monkeypatch.setattr(key_usage, "apps", SimpleNamespace(get_models=lambda **_: installed))
