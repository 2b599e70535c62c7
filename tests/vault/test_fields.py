from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.core.management import call_command
from django.db import connection, models
from django.db.models import F, Value
from django.db.models.functions import Concat, Upper
from django.forms import modelform_factory
from django.test.utils import isolate_apps

from common.db.ids import uuid7
from tests.vault.locker import Locker, make_locker, unseal_column
from tests.vault.test_sealing import spellings
from vault import sealing
from vault.fields import SealedField
from vault.models import Canary
from vault.sealing import Place, SealedValue, seal
from vault.services import verify_keyring

pytestmark = pytest.mark.usefixtures("vault")

PLAIN = "sk_live_hunter2"
PLAINTEXTS: list[Any] = [PLAIN, PLAIN.encode(), {"token": PLAIN}, memoryview(PLAIN.encode())]
EXPRESSIONS: list[Any] = [
    Value(PLAIN),
    F("label"),
    Upper("label"),
    Concat(Value(PLAIN), Value("x")),
]


def update(value: Any) -> None:
    Locker.objects.update(secrets=value)


def save(value: Any) -> None:
    row = Locker.objects.get()
    row.secrets = value
    row.save()


def create(value: Any) -> None:
    Locker.objects.create(secrets=value)


def bulk_create(value: Any) -> None:
    Locker.objects.bulk_create([Locker(secrets=value)])


def bulk_update(value: Any) -> None:
    row = Locker.objects.get()
    row.secrets = value
    Locker.objects.bulk_update([row], ["secrets"])


WRITES = [update, save, create, bulk_create, bulk_update]


def stored() -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM vault_locker")
        return bytes(cursor.fetchone()[0])


def test_stored_bytes_contain_no_plaintext(suite):
    make_locker(PLAIN)
    assert not [spelling for spelling in spellings(PLAIN.encode()) if spelling in stored()]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("value", PLAINTEXTS, ids=lambda value: type(value).__name__)
def test_every_write_rejects_plaintext(write: Callable[[Any], None], value):
    make_locker()
    with pytest.raises(TypeError) as caught:
        write(value)
    assert PLAIN not in str(caught.value)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda value: type(value).__name__)
def test_every_write_rejects_an_expression(write: Callable[[Any], None], expression):
    make_locker()
    # Django itself refuses to insert a column that is not there yet: ValueError.
    with pytest.raises((TypeError, ValueError)):
        write(expression)


@pytest.mark.parametrize("write", [update, save, bulk_update])
def test_every_write_accepts_a_sealed_value(write: Callable[[Any], None]):
    row = make_locker("before")
    write(seal(Place.of(row, "secrets"), "after"))
    assert unseal_column(row) == "after"


@pytest.mark.parametrize("write", [update, save, bulk_update])
def test_every_write_accepts_none(write: Callable[[Any], None]):
    make_locker()
    write(None)
    assert Locker.objects.get().secrets is None


def test_bulk_create_accepts_sealed_values():
    rows = [Locker() for _ in range(3)]
    for row in rows:
        row.secrets = seal(Place.of(row, "secrets"), str(row.pk))
    Locker.objects.bulk_create(rows)
    assert [unseal_column(row) for row in rows] == [str(row.pk) for row in rows]


@pytest.mark.parametrize(
    "lookup", ["exact", "in", "contains", "startswith", "gt", "regex", "iexact"]
)
def test_lookup_is_rejected(lookup):
    with pytest.raises(FieldError):
        Locker.objects.filter(**{f"secrets__{lookup}": [PLAIN] if lookup == "in" else PLAIN})


def test_filter_by_value_is_rejected():
    with pytest.raises(FieldError):
        Locker.objects.filter(secrets=PLAIN)


def test_path_into_the_value_is_rejected():
    with pytest.raises(FieldError):
        Locker.objects.filter(secrets__token=PLAIN)


def test_isnull_is_allowed():
    row = make_locker()
    assert Locker.objects.get(secrets__isnull=False, spare__isnull=True) == row


def test_reading_decrypts_nothing(monkeypatch):
    rows = [make_locker() for _ in range(3)]
    monkeypatch.setattr(sealing, "unseal", None)
    monkeypatch.setattr(sealing, "CIPHERS", None)
    assert [row.secrets for row in Locker.objects.order_by("pk")] == [row.secrets for row in rows]


def test_saving_an_undecryptable_row_keeps_its_blob():
    row = make_locker()
    Locker.objects.update(secrets=SealedValue(b"damaged"))
    fresh = Locker.objects.get(pk=row.pk)
    fresh.label = "renamed"
    fresh.save()
    assert stored() == b"damaged"


def test_values_returns_sealed_values():
    make_locker(PLAIN)
    assert PLAIN not in repr(list(Locker.objects.values()))


def test_pickled_row_contains_no_plaintext():
    sealed = make_locker(PLAIN).secrets
    assert PLAIN.encode() not in pickle.dumps(sealed)


def test_dumpdata_writes_the_ciphertext():
    make_locker(PLAIN)
    dumped = serializers.serialize("json", Locker.objects.all())
    assert not [form for form in spellings(PLAIN.encode()) if form.decode() in dumped]


def test_dumpdata_writes_null_without_a_value():
    make_locker()
    (dumped,) = json.loads(serializers.serialize("json", Locker.objects.all()))
    assert dumped["fields"]["spare"] is None


def test_loaddata_reads_what_dumpdata_wrote(tmp_path):
    verify_keyring()
    before = Canary.objects.get().sealed
    path = tmp_path / "dump.json"
    path.write_text(serializers.serialize("json", Canary.objects.all()))
    Canary.objects.all().delete()
    call_command("loaddata", str(path), stdout=StringIO())
    assert Canary.objects.get().sealed == before


@pytest.mark.parametrize("value", [PLAIN, "", "AAAA", 7, {}])
def test_loaddata_rejects_plaintext(value):
    with pytest.raises(ValidationError) as caught:
        SealedField().to_python(value)
    assert PLAIN not in str(caught.value)


def test_field_has_no_form_field():
    assert modelform_factory(Locker, fields="__all__").base_fields.keys() == {
        "id",
        "account_id",
        "label",
    }


def test_field_deconstructs_for_migrations():
    field = SealedField(null=True)
    _, path, args, kwargs = field.deconstruct()
    assert (path, list(args), kwargs) == ("vault.fields.SealedField", [], {"null": True})


def list_check_ids(pk: models.Field[Any, Any]) -> list[str | None]:
    with isolate_apps("vault"):

        class Probe(models.Model):
            key = pk
            sealed = SealedField()

            class Meta:
                app_label = "vault"

            def __str__(self) -> str:
                return "probe"

        return [fault.id for fault in Probe._meta.get_field("sealed").check()]


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.BigAutoField(primary_key=True),
        lambda: models.UUIDField(primary_key=True),
        lambda: models.IntegerField(primary_key=True, default=1),
    ],
)
def test_check_rejects_a_primary_key_that_the_database_assigns(make):
    assert list_check_ids(make()) == ["vault.E001"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.UUIDField(primary_key=True, default=uuid7),
        lambda: models.CharField(primary_key=True, max_length=9),
    ],
)
def test_check_accepts_a_primary_key_known_before_the_insert(make):
    assert list_check_ids(make()) == []
