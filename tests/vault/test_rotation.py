from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.vault.locker import Locker, flip_byte, format_keys, make_locker, unseal_column
from vault import rotation
from vault.key_usage import count_rows_by_key, list_sealed_columns
from vault.models import Canary, IndexKey
from vault.rotation import RotationResult, iter_undecryptable, rotate_keys
from vault.sealing import Place, SealedValue, seal, unseal
from vault.services import get_index_key, verify_keyring

pytestmark = pytest.mark.usefixtures("vault")


@pytest.fixture
def rows(ring_of) -> list[Locker]:
    """Five rows under k1, in a ring whose primary is k2 now."""
    verify_keyring()
    made = [make_locker(f"secret {number}") for number in range(5)]
    ring_of("k2", "k1")
    return made


def key_ids() -> set[str]:
    return {row.secrets.key_id for row in Locker.objects.all() if row.secrets}


def counts() -> dict[tuple[str, str], int]:
    return {(str(column), key_id): rows for column, key_id, rows in count_rows_by_key()}


def ids(outcome: RotationResult) -> list[Any]:
    return [unopened.row_id for unopened in outcome.failed]


def canaries() -> set[str]:
    return set(Canary.objects.values_list("key_id", flat=True))


def test_every_row_moves_to_the_primary(rows, suite):
    rotate_keys()
    assert key_ids() == {"k2"}


def test_every_value_stays(rows, suite):
    rotate_keys()
    assert [unseal_column(row) for row in rows] == [f"secret {number}" for number in range(5)]


def test_the_outcome_counts_the_rows_and_the_index_key(rows):
    assert rotate_keys() == RotationResult(rotated=6, remaining=0, failed=[])


def test_a_row_opens_without_the_old_key_afterwards(rows, ring_of):
    rotate_keys()
    ring_of("k2")
    assert unseal_column(rows[0]) == "secret 0"


def test_every_column_of_a_row_moves(ring_of):
    row = make_locker("one")
    Locker.objects.update(spare=seal(Place.of(row, "spare"), "two"))
    ring_of("k2", "k1")
    rotate_keys()
    ring_of("k2")
    assert (unseal_column(row), unseal_column(row, "spare")) == ("one", "two")


def test_rows_of_different_accounts_move(ring_of):
    mine, other = make_locker("mine"), make_locker("other", account_id=uuid.UUID(int=9))
    ring_of("k2", "k1")
    rotate_keys()
    assert (unseal_column(mine), unseal_column(other)) == ("mine", "other")


def test_a_row_without_a_seal_stays_without(ring_of):
    Locker.objects.create()
    ring_of("k2", "k1")
    rotate_keys()
    assert Locker.objects.get().secrets is None


def test_the_index_key_stays_the_same(rows):
    before = get_index_key()
    rotate_keys()
    assert get_index_key() == before
    assert IndexKey.objects.get().sealed.key_id == "k2"


@pytest.mark.parametrize("batch", [1, 2, 5, 6])
def test_any_batch_size_reaches_every_row(rows, batch):
    assert rotate_keys(batch=batch).remaining == 0


def test_a_second_run_writes_nothing(rows):
    rotate_keys()
    before = list(Locker.objects.order_by("pk").values())
    assert rotate_keys().rotated == 0
    assert list(Locker.objects.order_by("pk").values()) == before


def test_nothing_else_of_a_row_is_written(rows):
    before = list(Locker.objects.order_by("pk").values("pk", "account_id", "label", "spare"))
    rotate_keys()
    after = list(Locker.objects.order_by("pk").values("pk", "account_id", "label", "spare"))
    assert after == before


def test_progress_reaches_the_total(rows):
    seen: list[tuple[int, int]] = []
    rotate_keys(batch=2, on_progress=lambda *step: seen.append(step))
    assert seen == [(1, 6), (3, 6), (5, 6), (6, 6)]


def meanwhile(monkeypatch, action) -> None:
    """Do `action` once, between the reading of the first row and its update."""

    def interrupted(place: Place, sealed: SealedValue) -> Any:
        monkeypatch.setattr(rotation, "unseal", unseal)
        action()
        return unseal(place, sealed)

    monkeypatch.setattr(rotation, "unseal", interrupted)


@pytest.fixture
def row(ring_of) -> Locker:
    """One row under k1, the index key being under the primary k2 already."""
    ring_of("k1", "k2")
    made = make_locker("old")
    ring_of("k2", "k1")
    verify_keyring()
    return made


def test_a_concurrent_writer_wins(row, monkeypatch):
    fresh = seal(Place.of(row, "secrets"), "new")
    meanwhile(monkeypatch, lambda: Locker.objects.update(secrets=fresh))
    assert rotate_keys().rotated == 0
    assert unseal_column(row) == "new"


def test_a_concurrent_writer_with_the_old_ring_leaves_a_remaining_row(row, monkeypatch, ring_of):
    ring_of("k1", "k2")
    fresh = seal(Place.of(row, "secrets"), "new")
    ring_of("k2", "k1")
    meanwhile(monkeypatch, lambda: Locker.objects.update(secrets=fresh))
    assert rotate_keys().remaining == 1
    assert unseal_column(row) == "new"


def test_a_concurrent_delete_wins(row, monkeypatch):
    meanwhile(monkeypatch, lambda: Locker.objects.all().delete())
    assert rotate_keys() == RotationResult(rotated=0, remaining=0, failed=[])
    assert not Locker.objects.exists()


def test_a_killed_run_is_resumed(rows):
    def kill(seen: int, total: int) -> None:
        if seen == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate_keys(batch=2, on_progress=kill)
    assert key_ids() == {"k1", "k2"}
    assert rotate_keys(batch=2) == RotationResult(rotated=3, remaining=0, failed=[])


def test_a_killed_run_keeps_the_old_canary(rows):
    def kill(seen: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate_keys(on_progress=kill)
    assert canaries() == {"k1", "k2"}


def store(row: Locker, sealed: SealedValue | None) -> None:
    Locker.objects.filter(pk=row.pk).update(secrets=sealed)


def damage(row: Locker) -> SealedValue:
    """Flip the last byte of what is stored."""
    sealed = Locker.objects.get(pk=row.pk).secrets
    assert sealed
    damaged = flip_byte(sealed, -1)
    store(row, damaged)
    return damaged


def test_a_row_that_does_not_open_is_reported(rows):
    damage(rows[2])
    outcome = rotate_keys(batch=2)
    assert ids(outcome) == [rows[2].pk]
    assert (outcome.rotated, outcome.remaining) == (5, 1)


def test_a_row_that_does_not_open_is_not_overwritten(rows):
    damaged = damage(rows[2])
    rotate_keys()
    assert Locker.objects.get(pk=rows[2].pk).secrets == damaged


@pytest.mark.parametrize("blob", [b"", b"x", b"\x01\x01gone" + bytes(60)])
def test_a_blob_of_any_shape_is_reported(rows, blob):
    store(rows[0], SealedValue(blob))
    assert ids(rotate_keys()) == [rows[0].pk]


def test_a_retired_key_may_leave_the_ring_and_is_forgotten(rows, ring_of):
    rotate_keys()
    ring_of("k2")
    verify_keyring()
    assert canaries() == {"k2"}


def test_a_row_written_under_the_old_key_after_the_rotation_keeps_it_needed(rows, ring_of):
    rotate_keys()
    ring_of("k1", "k2")
    late = Locker.objects.get(pk=rows[0].pk)
    store(late, seal(Place.of(late, "secrets"), "late"))
    ring_of("k2")
    with pytest.raises(ImproperlyConfigured, match="k1 is missing, and 1 rows"):
        verify_keyring()


def test_a_row_that_does_not_open_keeps_its_key_needed(rows, ring_of):
    damage(rows[2])
    rotate_keys()
    ring_of("k2")
    with pytest.raises(ImproperlyConfigured, match="k1 is missing"):
        verify_keyring()


def test_a_wrong_ring_rotates_nothing(rows, settings):
    settings.VAULT_KEYS = f"{format_keys('k2')},{format_keys('other').replace('other:', 'k1:')}"
    with pytest.raises(ImproperlyConfigured):
        rotate_keys()
    assert key_ids() == {"k1"}


def test_the_columns_come_from_the_installed_models():
    found = [str(column) for column in list_sealed_columns()]
    assert {"vault_indexkey.sealed", "vault_locker.secrets", "vault_locker.spare"} <= set(found)
    assert found == sorted(found)


def test_the_census_counts_by_column_and_key(rows, ring_of):
    make_locker("under k2")
    expected = {("vault_locker.secrets", "k1"): 5, ("vault_locker.secrets", "k2"): 1}
    assert {key: rows for key, rows in counts().items() if "locker" in key[0]} == expected


def test_the_census_counts_what_has_no_header(rows):
    store(rows[0], SealedValue(b""))
    store(rows[1], SealedValue(b"\x01\x01NONE" + bytes(60)))
    assert counts()["vault_locker.secrets", "?"] == 2


def test_the_census_opens_nothing(rows, monkeypatch):
    monkeypatch.setattr(rotation, "unseal", None)
    assert counts()


def test_an_intact_database_has_nothing_unopenable(rows):
    assert list(iter_undecryptable()) == []


def test_what_does_not_open_is_found_under_the_primary_too(rows):
    rotate_keys()
    damage(rows[4])
    assert [str(found) for found in iter_undecryptable(batch=2)] == [
        f"vault_locker.secrets {rows[4].pk}"
    ]


def test_a_swapped_row_is_found(rows):
    store(rows[0], rows[1].secrets)
    assert [found.row_id for found in iter_undecryptable()] == [rows[0].pk]
