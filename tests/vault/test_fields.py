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


def test_the_stored_bytes_hold_no_plaintext(suite):
    make_locker(PLAIN)
    assert not [spelling for spelling in spellings(PLAIN.encode()) if spelling in stored()]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("value", PLAINTEXTS, ids=lambda value: type(value).__name__)
def test_no_write_takes_plaintext(write: Callable[[Any], None], value):
    make_locker()
    with pytest.raises(TypeError) as refused:
        write(value)
    assert PLAIN not in str(refused.value)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda value: type(value).__name__)
def test_no_write_takes_an_expression(write: Callable[[Any], None], expression):
    make_locker()
    # Django itself refuses to insert a column that is not there yet: ValueError.
    with pytest.raises((TypeError, ValueError)):
        write(expression)


@pytest.mark.parametrize("write", [update, save, bulk_update])
def test_a_write_takes_a_seal(write: Callable[[Any], None]):
    row = make_locker("before")
    write(seal(Place.of(row, "secrets"), "after"))
    assert unseal_column(row) == "after"


@pytest.mark.parametrize("write", [update, save, bulk_update])
def test_a_write_takes_none(write: Callable[[Any], None]):
    make_locker()
    write(None)
    assert Locker.objects.get().secrets is None


def test_bulk_create_takes_seals():
    rows = [Locker() for _ in range(3)]
    for row in rows:
        row.secrets = seal(Place.of(row, "secrets"), str(row.pk))
    Locker.objects.bulk_create(rows)
    assert [unseal_column(row) for row in rows] == [str(row.pk) for row in rows]


@pytest.mark.parametrize(
    "lookup", ["exact", "in", "contains", "startswith", "gt", "regex", "iexact"]
)
def test_a_lookup_is_refused(lookup):
    with pytest.raises(FieldError):
        Locker.objects.filter(**{f"secrets__{lookup}": [PLAIN] if lookup == "in" else PLAIN})


def test_a_filter_by_value_is_refused():
    with pytest.raises(FieldError):
        Locker.objects.filter(secrets=PLAIN)


def test_a_path_into_the_value_is_refused():
    with pytest.raises(FieldError):
        Locker.objects.filter(secrets__token=PLAIN)


def test_isnull_is_allowed():
    row = make_locker()
    assert Locker.objects.get(secrets__isnull=False, spare__isnull=True) == row


def test_reading_never_opens(monkeypatch):
    rows = [make_locker() for _ in range(3)]
    monkeypatch.setattr(sealing, "unseal", None)
    monkeypatch.setattr(sealing, "UNSEALERS", None)
    assert [row.secrets for row in Locker.objects.order_by("pk")] == [row.secrets for row in rows]


def test_saving_a_row_that_does_not_open_keeps_its_blob():
    row = make_locker()
    Locker.objects.update(secrets=SealedValue(b"damaged"))
    fresh = Locker.objects.get(pk=row.pk)
    fresh.label = "renamed"
    fresh.save()
    assert stored() == b"damaged"


def test_values_are_sealed():
    make_locker(PLAIN)
    assert PLAIN not in repr(list(Locker.objects.values()))


def test_a_pickled_row_holds_ciphertext_only():
    sealed = make_locker(PLAIN).secrets
    assert PLAIN.encode() not in pickle.dumps(sealed)


def test_a_dump_holds_the_ciphertext():
    make_locker(PLAIN)
    dumped = serializers.serialize("json", Locker.objects.all())
    assert not [form for form in spellings(PLAIN.encode()) if form.decode() in dumped]


def test_a_dump_without_a_seal_has_null():
    make_locker()
    (dumped,) = json.loads(serializers.serialize("json", Locker.objects.all()))
    assert dumped["fields"]["spare"] is None


def test_a_dump_loads_again(tmp_path):
    verify_keyring()
    before = Canary.objects.get().sealed
    path = tmp_path / "dump.json"
    path.write_text(serializers.serialize("json", Canary.objects.all()))
    Canary.objects.all().delete()
    call_command("loaddata", str(path), stdout=StringIO())
    assert Canary.objects.get().sealed == before


@pytest.mark.parametrize("value", [PLAIN, "", "AAAA", 7, {}])
def test_a_load_takes_ciphertext_only(value):
    with pytest.raises(ValidationError) as refused:
        SealedField().to_python(value)
    assert PLAIN not in str(refused.value)


def test_no_form_shows_it():
    assert modelform_factory(Locker, fields="__all__").base_fields.keys() == {
        "id",
        "account_id",
        "label",
    }


def test_a_migration_can_write_it():
    field = SealedField(null=True)
    _, path, args, kwargs = field.deconstruct()
    assert (path, list(args), kwargs) == ("vault.fields.SealedField", [], {"null": True})


def faults(pk: models.Field[Any, Any]) -> list[str | None]:
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
def test_a_row_id_unknown_before_the_insert_is_a_fault(make):
    assert faults(make()) == ["vault.E001"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.UUIDField(primary_key=True, default=uuid7),
        lambda: models.CharField(primary_key=True, max_length=9),
    ],
)
def test_a_row_id_known_before_the_insert_is_no_fault(make):
    assert faults(make()) == []
