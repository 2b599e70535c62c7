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
def rows(set_keyring) -> list[Locker]:
    """Five rows sealed with k1, in a keyring whose primary key is k2 now."""
    verify_keyring()
    made = [make_locker(f"secret {number}") for number in range(5)]
    set_keyring("k2", "k1")
    return made


def key_ids() -> set[str]:
    return {row.secrets.key_id for row in Locker.objects.all() if row.secrets}


def counts() -> dict[tuple[str, str], int]:
    return {(str(column), key_id): rows for column, key_id, rows in count_rows_by_key()}


def ids(result: RotationResult) -> list[Any]:
    return [unopened.row_id for unopened in result.failed]


def canaries() -> set[str]:
    return set(Canary.objects.values_list("key_id", flat=True))


def test_rotation_encrypts_every_row_with_the_primary_key(rows, suite):
    rotate_keys()
    assert key_ids() == {"k2"}


def test_rotation_changes_no_value(rows, suite):
    rotate_keys()
    assert [unseal_column(row) for row in rows] == [f"secret {number}" for number in range(5)]


def test_result_counts_rows_and_index_key(rows):
    assert rotate_keys() == RotationResult(rotated=6, remaining=0, failed=[])


def test_rotated_row_needs_no_old_key(rows, set_keyring):
    rotate_keys()
    set_keyring("k2")
    assert unseal_column(rows[0]) == "secret 0"


def test_rotation_covers_every_column_of_a_row(set_keyring):
    row = make_locker("one")
    Locker.objects.update(spare=seal(Place.of(row, "spare"), "two"))
    set_keyring("k2", "k1")
    rotate_keys()
    set_keyring("k2")
    assert (unseal_column(row), unseal_column(row, "spare")) == ("one", "two")


def test_rotation_covers_every_account(set_keyring):
    mine, other = make_locker("mine"), make_locker("other", account_id=uuid.UUID(int=9))
    set_keyring("k2", "k1")
    rotate_keys()
    assert (unseal_column(mine), unseal_column(other)) == ("mine", "other")


def test_row_without_a_value_stays_without(set_keyring):
    Locker.objects.create()
    set_keyring("k2", "k1")
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


def test_rotation_writes_no_other_column(rows):
    before = list(Locker.objects.order_by("pk").values("pk", "account_id", "label", "spare"))
    rotate_keys()
    after = list(Locker.objects.order_by("pk").values("pk", "account_id", "label", "spare"))
    assert after == before


def test_progress_reaches_the_total(rows):
    seen: list[tuple[int, int]] = []
    rotate_keys(batch=2, on_progress=lambda *step: seen.append(step))
    assert seen == [(1, 6), (3, 6), (5, 6), (6, 6)]


def run_before_update(monkeypatch, action) -> None:
    """Call `action` once, between the reading of the first row and its update."""

    def interrupted(place: Place, sealed: SealedValue) -> Any:
        monkeypatch.setattr(rotation, "unseal", unseal)
        action()
        return unseal(place, sealed)

    monkeypatch.setattr(rotation, "unseal", interrupted)


@pytest.fixture
def row(set_keyring) -> Locker:
    """One row sealed with k1, while the index key is sealed with the primary key k2."""
    set_keyring("k1", "k2")
    made = make_locker("old")
    set_keyring("k2", "k1")
    verify_keyring()
    return made


def test_a_concurrent_writer_wins(row, monkeypatch):
    fresh = seal(Place.of(row, "secrets"), "new")
    run_before_update(monkeypatch, lambda: Locker.objects.update(secrets=fresh))
    assert rotate_keys().rotated == 0
    assert unseal_column(row) == "new"


def test_a_concurrent_writer_with_the_old_ring_leaves_a_remaining_row(
    row, monkeypatch, set_keyring
):
    set_keyring("k1", "k2")
    fresh = seal(Place.of(row, "secrets"), "new")
    set_keyring("k2", "k1")
    run_before_update(monkeypatch, lambda: Locker.objects.update(secrets=fresh))
    assert rotate_keys().remaining == 1
    assert unseal_column(row) == "new"


def test_a_concurrent_delete_wins(row, monkeypatch):
    run_before_update(monkeypatch, lambda: Locker.objects.all().delete())
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
    """Flip the last byte of the stored blob."""
    sealed = Locker.objects.get(pk=row.pk).secrets
    assert sealed
    damaged = flip_byte(sealed, -1)
    store(row, damaged)
    return damaged


def test_undecryptable_row_is_reported(rows):
    damage(rows[2])
    result = rotate_keys(batch=2)
    assert ids(result) == [rows[2].pk]
    assert (result.rotated, result.remaining) == (5, 1)


def test_undecryptable_row_is_not_overwritten(rows):
    damaged = damage(rows[2])
    rotate_keys()
    assert Locker.objects.get(pk=rows[2].pk).secrets == damaged


@pytest.mark.parametrize("blob", [b"", b"x", b"\x01\x01gone" + bytes(60)])
def test_a_blob_of_any_shape_is_reported(rows, blob):
    store(rows[0], SealedValue(blob))
    assert ids(rotate_keys()) == [rows[0].pk]


def test_retired_key_can_leave_the_keyring(rows, set_keyring):
    rotate_keys()
    set_keyring("k2")
    verify_keyring()
    assert canaries() == {"k2"}


def test_row_written_with_the_old_key_after_the_rotation_still_needs_it(rows, set_keyring):
    rotate_keys()
    set_keyring("k1", "k2")
    late = Locker.objects.get(pk=rows[0].pk)
    store(late, seal(Place.of(late, "secrets"), "late"))
    set_keyring("k2")
    with pytest.raises(ImproperlyConfigured, match="k1 is missing, and 1 rows"):
        verify_keyring()


def test_undecryptable_row_still_needs_its_key(rows, set_keyring):
    damage(rows[2])
    rotate_keys()
    set_keyring("k2")
    with pytest.raises(ImproperlyConfigured, match="k1 is missing"):
        verify_keyring()


def test_wrong_keyring_rotates_nothing(rows, settings):
    settings.VAULT_KEYS = f"{format_keys('k2')},{format_keys('other').replace('other:', 'k1:')}"
    with pytest.raises(ImproperlyConfigured):
        rotate_keys()
    assert key_ids() == {"k1"}


def test_the_columns_come_from_the_installed_models():
    found = [str(column) for column in list_sealed_columns()]
    assert {"vault_indexkey.sealed", "vault_locker.secrets", "vault_locker.spare"} <= set(found)
    assert found == sorted(found)


def test_count_rows_by_key_counts_per_column(rows, set_keyring):
    make_locker("under k2")
    expected = {("vault_locker.secrets", "k1"): 5, ("vault_locker.secrets", "k2"): 1}
    assert {key: rows for key, rows in counts().items() if "locker" in key[0]} == expected


def test_count_rows_by_key_counts_blobs_without_a_header(rows):
    store(rows[0], SealedValue(b""))
    store(rows[1], SealedValue(b"\x01\x01NONE" + bytes(60)))
    assert counts()["vault_locker.secrets", "?"] == 2


def test_count_rows_by_key_decrypts_nothing(rows, monkeypatch):
    monkeypatch.setattr(rotation, "unseal", None)
    assert counts()


def test_intact_database_has_no_undecryptable_value(rows):
    assert list(iter_undecryptable()) == []


def test_undecryptable_value_under_the_primary_key_is_found(rows):
    rotate_keys()
    damage(rows[4])
    assert [str(found) for found in iter_undecryptable(batch=2)] == [
        f"vault_locker.secrets {rows[4].pk}"
    ]


def test_a_swapped_row_is_found(rows):
    store(rows[0], rows[1].secrets)
    assert [found.row_id for found in iter_undecryptable()] == [rows[0].pk]
