"""The migration from django-otp's tables keeps all devices working and leaves no plaintext."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor
from django_otp import match_token, user_has_device

from accounts.otp_devices import Authenticator, RecoveryCode, RecoveryCodes
from tests.accounts.factor import (
    AUTHENTICATOR_KEY,
    clear_throttling,
    compute_code,
    make_authenticator,
)
from tests.factories import make_staff
from tests.project.canaries import dump_database
from vault.models import Canary, IndexKey
from vault.services import clear_index_key_cache, verify_keyring

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

DEVICE = """
    id integer PRIMARY KEY, user_id integer NOT NULL REFERENCES auth_user (id),
    name varchar(64) NOT NULL, confirmed bool NOT NULL, throttling_failure_count integer NOT NULL,
    throttling_failure_timestamp {time} NULL, created_at {time} NULL, last_used_at {time} NULL
"""
TABLES = [
    f"""CREATE TABLE otp_totp_totpdevice ({DEVICE}, key varchar(80) NOT NULL,
        step smallint NOT NULL, t0 bigint NOT NULL, digits smallint NOT NULL,
        tolerance smallint NOT NULL, drift smallint NOT NULL, last_t bigint NOT NULL)""",
    f"CREATE TABLE otp_static_staticdevice ({DEVICE})",
    """CREATE TABLE otp_static_statictoken (id integer PRIMARY KEY, token varchar(16) NOT NULL,
        device_id integer NOT NULL REFERENCES otp_static_staticdevice (id))""",
]
SINCE = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
OLD = {"otp_totp_totpdevice", "otp_static_staticdevice", "otp_static_statictoken"}


def execute(sql: str, *values: Any) -> None:
    time = "datetime" if connection.vendor == "sqlite" else "timestamptz"
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("{time}", time), values or None)


def migrate_back() -> None:
    MigrationExecutor(connection).migrate([("accounts", "0004_group_permissions")])


def migrate() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def insert(table: str, **row: object) -> None:
    marks = ", ".join(["%s"] * len(row))
    execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *row.values())


def device(id: int, user: User, *, confirmed: bool = True) -> dict[str, object]:
    since = SINCE if connection.vendor == "postgresql" else "2024-05-06 07:08:09"
    return {
        "id": id,
        "user_id": user.pk,
        "name": "Phone",
        "confirmed": confirmed,
        "throttling_failure_count": 0,
        "throttling_failure_timestamp": None,
        "created_at": since,
        "last_used_at": None,
    }


def clock(key: bytes, **more: int) -> dict[str, object]:
    plain = {"step": 30, "t0": 0, "digits": 6, "tolerance": 1, "drift": 0, "last_t": -1}
    return {"key": key.hex(), **plain, **more}


@pytest.fixture
def before() -> Iterator[None]:
    """A database of the former version: without our tables, with the old ones empty."""
    clear_index_key_cache()
    migrate_back()
    for table in TABLES:
        execute(table)
    yield
    for name in ("otp_static_statictoken", "otp_static_staticdevice", "otp_totp_totpdevice"):
        execute(f"DROP TABLE IF EXISTS {name}")
    migrate()


@pytest.fixture
def staff(before: None) -> User:
    return make_staff()


def test_confirmed_devices_still_work(staff):
    insert("otp_totp_totpdevice", **device(1, staff), **clock(AUTHENTICATOR_KEY))
    insert("otp_static_staticdevice", **device(1, staff))
    for number, code in enumerate(["aaaabbbbccccdddd", "11112222", "11112222"]):
        insert("otp_static_statictoken", id=number, token=code, device_id=1)
    migrate()
    assert user_has_device(staff)
    assert match_token(staff, compute_code())
    clear_throttling()
    assert match_token(staff, "11112222")
    clear_throttling()
    assert match_token(staff, "11112222") is None
    assert RecoveryCode.objects.count() == 1
    assert {model.objects.get().created_at for model in (Authenticator, RecoveryCodes)} == {SINCE}


def test_state_of_devices_is_migrated(staff):
    # Later than any step within the minutes that the migrations may take.
    last_step = int(dt.datetime.now(dt.UTC).timestamp()) // 30 + 20
    insert(
        "otp_totp_totpdevice",
        **device(1, staff),
        **clock(AUTHENTICATOR_KEY, last_t=last_step, drift=1),
    )
    migrate()
    assert match_token(staff, compute_code(steps=1)) is None
    assert Authenticator.objects.get().drift == 1


def test_unusual_parameters_are_migrated(staff):
    insert(
        "otp_totp_totpdevice",
        **device(1, staff),
        **clock(AUTHENTICATOR_KEY, step=60, digits=8, tolerance=2),
    )
    insert("otp_totp_totpdevice", **device(2, staff), **clock(b"another key of theirs"))
    migrate()
    odd, other = Authenticator.objects.order_by("pk")
    assert (odd.step, odd.digits, odd.tolerance) == (60, 8, 2)
    assert match_token(staff, compute_code(b"another key of theirs")) == other


def test_unconfirmed_devices_are_not_migrated(staff):
    insert("otp_totp_totpdevice", **device(1, staff, confirmed=False), **clock(AUTHENTICATOR_KEY))
    migrate()
    assert not Authenticator.objects.exists()
    assert not user_has_device(staff, confirmed=None)


def test_no_plaintext_remains(staff):
    insert("otp_totp_totpdevice", **device(1, staff), **clock(AUTHENTICATOR_KEY))
    insert(
        "otp_totp_totpdevice", **device(2, staff, confirmed=False), **clock(AUTHENTICATOR_KEY[::-1])
    )
    insert("otp_static_staticdevice", **device(1, staff))
    insert("otp_static_statictoken", id=1, token="aaaabbbbccccdddd", device_id=1)
    migrate()
    assert not OLD & set(connection.introspection.table_names())
    stored = dump_database()
    for secret in (AUTHENTICATOR_KEY, AUTHENTICATOR_KEY[::-1]):
        forms = (secret, secret.hex().encode(), base64.b32encode(secret))
        assert not [form for form in forms if form in stored]
    assert b"aaaabbbbccccdddd" not in stored


def test_database_without_former_tables_is_unchanged(before):
    for table in ("otp_static_statictoken", "otp_static_staticdevice", "otp_totp_totpdevice"):
        execute(f"DROP TABLE {table}")
    migrate()
    assert not Authenticator.objects.exists()
    assert not Canary.objects.exists()
    assert not IndexKey.objects.exists()


def test_another_databases_keys_change_nothing(staff, settings):
    verify_keyring()
    insert("otp_totp_totpdevice", **device(1, staff), **clock(AUTHENTICATOR_KEY))
    ours = settings.VAULT_KEYS
    settings.VAULT_KEYS = f"t1:{base64.b64encode(b'2' * 32).decode()}"
    clear_index_key_cache()
    with pytest.raises(ImproperlyConfigured):
        migrate()
    assert set(connection.introspection.table_names()) >= OLD
    settings.VAULT_KEYS = ours
    migrate()
    assert match_token(staff, compute_code())


def test_migration_cannot_be_reversed_with_a_sealed_key():
    staff = make_staff()
    make_authenticator(staff)
    with pytest.raises(IrreversibleError):
        migrate_back()
    assert match_token(staff, compute_code())
