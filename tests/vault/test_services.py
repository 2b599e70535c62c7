from __future__ import annotations

import io
import threading
import uuid
from base64 import urlsafe_b64decode

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.vault.locker import flip_byte, format_keys
from vault import services
from vault.models import INDEX_KEY_ID, Canary, IndexKey
from vault.sealing import Place, seal
from vault.services import (
    clear_index_key_cache,
    compute_fingerprint,
    compute_identity,
    get_index_key,
    get_signing_key,
    verify_keyring,
)

ANNA, BERT = uuid.UUID(int=1), uuid.UUID(int=2)


def get_start_error() -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        verify_keyring()
    return str(caught.value)


@pytest.mark.usefixtures("vault")
class TestRing:
    def test_a_new_database_gets_a_canary_of_the_primary(self, set_keyring):
        set_keyring("k2", "k1")
        verify_keyring()
        assert [canary.key_id for canary in Canary.objects.all()] == ["k2"]

    def test_a_new_database_gets_an_index_key(self):
        verify_keyring()
        assert IndexKey.objects.count() == 1

    def test_a_second_start_changes_nothing(self):
        verify_keyring()
        before = list(Canary.objects.values()), list(IndexKey.objects.values())
        verify_keyring()
        assert before == (list(Canary.objects.values()), list(IndexKey.objects.values()))

    def test_a_new_primary_gets_its_own_canary(self, set_keyring):
        verify_keyring()
        set_keyring("k2", "k1")
        verify_keyring()
        assert {canary.key_id for canary in Canary.objects.all()} == {"k1", "k2"}

    def test_another_key_under_the_primary_id_is_rejected(self, settings):
        verify_keyring()
        settings.VAULT_KEYS = format_keys("other").replace("other:", "k1:")
        assert get_start_error().startswith(
            "VAULT_KEYS: the key under id k1 is not the one this database was sealed with"
        )

    def test_another_key_under_a_secondary_id_is_rejected(self, settings):
        verify_keyring()
        settings.VAULT_KEYS = f"{format_keys('k2')},{format_keys('other').replace('other:', 'k1:')}"
        assert "the key under id k1 is not the one" in get_start_error()

    def test_missing_key_is_rejected(self, set_keyring):
        verify_keyring()
        set_keyring("k2")
        assert "id k1 is missing" in get_start_error()

    def test_error_of_a_missing_key_says_what_to_do(self, set_keyring):
        verify_keyring()
        set_keyring("k2")
        assert "put it back, or run rotate_keys before retiring it" in get_start_error()

    def test_error_has_no_key_bytes(self, settings):
        verify_keyring()
        settings.VAULT_KEYS = format_keys("other").replace("other:", "k1:")
        assert settings.VAULT_KEYS.partition(":")[2][:12] not in get_start_error()

    def test_damaged_canary_is_rejected_and_kept(self):
        verify_keyring()
        damaged = flip_byte(Canary.objects.get().sealed, -1)
        Canary.objects.update(sealed=damaged)
        get_start_error()
        assert Canary.objects.get().sealed == damaged

    def test_failed_start_stores_nothing(self, set_keyring):
        # Otherwise one start with a wrong key would lock the right one out.
        verify_keyring()
        set_keyring("k9")
        get_start_error()
        assert [canary.key_id for canary in Canary.objects.all()] == ["k1"]
        set_keyring("k1")
        verify_keyring()

    def test_canary_without_rows_does_not_prevent_a_start(self, set_keyring):
        set_keyring("k1", "k9")
        verify_keyring()
        canary = Canary(key_id="k9")
        canary.sealed = Canary.objects.get().sealed
        canary.save()
        set_keyring("k1")
        verify_keyring()
        assert [canary.key_id for canary in Canary.objects.all()] == ["k1"]

    def test_wrong_suite_is_rejected(self, settings):
        settings.VAULT_SUITE = "9"
        assert "VAULT_SUITE" in get_start_error()

    def test_database_without_tables_is_rejected(self, monkeypatch):
        monkeypatch.setattr(connection.introspection, "table_names", lambda: ["django_migrations"])
        assert get_start_error() == "The database is not migrated: run manage.py migrate."


@pytest.mark.usefixtures("vault")
class TestIndexKey:
    def test_index_key_has_32_random_bytes(self):
        assert len(get_index_key()) == 32

    def test_index_key_stays_the_same(self):
        assert get_index_key() == get_index_key()

    def test_index_key_is_stored_sealed(self):
        key = get_index_key()
        blob = IndexKey.objects.get().sealed.blob
        assert key not in blob
        assert key.hex().encode() not in blob

    def test_index_key_is_cached_after_the_commit(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            key = get_index_key()
        assert services._known_index_key == key

    def test_index_key_is_not_cached_before_the_commit(self):
        get_index_key()
        assert services._known_index_key is None

    def test_index_key_is_not_cached_after_a_rollback(self, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            get_index_key()
            transaction.set_rollback(True)
        assert services._known_index_key is None

    def test_cached_index_key_needs_no_query(
        self, django_capture_on_commit_callbacks, django_assert_num_queries
    ):
        with django_capture_on_commit_callbacks(execute=True):
            get_index_key()
        with django_assert_num_queries(0):
            get_index_key()

    def test_index_key_is_read_again_after_clearing_the_cache(
        self, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks(execute=True):
            key = get_index_key()
        clear_index_key_cache()
        assert get_index_key() == key

    def test_index_key_of_a_faster_process_is_used(self):
        # Both found no index key, and the other process stored its own first.
        get_index_key()
        stored = IndexKey.objects.get().sealed
        assert services._create_index_key() == stored

    def test_undecryptable_index_key_is_rejected(self, set_keyring):
        get_index_key()
        set_keyring("k2")
        with pytest.raises(ImproperlyConfigured, match="put the key under id k1 back"):
            get_index_key()

    def test_undecryptable_index_key_is_not_replaced(self, set_keyring):
        get_index_key()
        before = IndexKey.objects.get().sealed
        set_keyring("k2")
        with pytest.raises(ImproperlyConfigured):
            get_index_key()
        assert IndexKey.objects.get().sealed == before

    def test_a_second_index_key_is_impossible(self):
        get_index_key()
        other = IndexKey(id=uuid.uuid4())
        other.sealed = seal(Place.of(other, "sealed"), "00" * 32)
        with pytest.raises(IntegrityError), transaction.atomic():
            other.save()


def test_a_key_whose_row_rolled_back_is_not_used(committing_vault):
    with transaction.atomic():
        lost = get_index_key()
        transaction.set_rollback(True)
    assert get_index_key() != lost


def test_many_threads_make_one_index_key(committing_vault):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite's test database is in memory, where threads do not wait for each other")
    index_keys: list[bytes] = []
    barrier = threading.Barrier(5)

    def create_index_key() -> None:
        barrier.wait()
        # Not get_index_key(): a late thread would use the key that another one cached.
        index_keys.append(services._decrypt_index_key(services._create_index_key()))
        connections.close_all()

    threads = [threading.Thread(target=create_index_key) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert index_keys == [get_index_key()] * 5


@pytest.mark.usefixtures("vault")
class TestBlindIndex:
    def test_a_fingerprint_has_16_bytes_of_base64url(self):
        found = compute_fingerprint(ANNA, "sk_live")
        assert len(found) == 22
        assert len(urlsafe_b64decode(found + "==")) == 16

    def test_equal_secrets_have_equal_fingerprints(self):
        assert compute_fingerprint(ANNA, "sk_live") == compute_fingerprint(str(ANNA), "sk_live")

    def test_different_secrets_have_different_fingerprints(self):
        assert compute_fingerprint(ANNA, "sk_live") != compute_fingerprint(ANNA, "sk_live ")

    def test_equal_secrets_of_two_accounts_do_not_correlate(self):
        assert compute_fingerprint(ANNA, "sk_live") != compute_fingerprint(BERT, "sk_live")

    def test_a_fingerprint_of_any_string_exists(self):
        assert len(compute_fingerprint(ANNA, "\ud800\0")) == 22

    def test_an_identity_has_32_bytes(self):
        assert len(compute_identity(ANNA, ["stripe_key", "acct_1"])) == 32

    def test_identities_of_two_accounts_do_not_correlate(self):
        assert compute_identity(ANNA, ["a"]) != compute_identity(BERT, ["a"])

    def test_an_identity_is_no_fingerprint(self):
        shown = compute_fingerprint(ANNA, "a")
        assert urlsafe_b64decode(shown + "==") != compute_identity(ANNA, ["a"])[:16]

    def test_another_index_key_gives_other_fingerprints(self):
        before = compute_fingerprint(ANNA, "a")
        IndexKey.objects.filter(pk=INDEX_KEY_ID).delete()
        assert compute_fingerprint(ANNA, "a") != before

    def test_signing_keys_of_two_purposes_differ(self):
        assert len({get_signing_key("cursor"), get_signing_key("events"), get_index_key()}) == 3

    def test_a_signing_key_stays(self):
        assert get_signing_key("cursor") == get_signing_key("cursor")


@examples(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(max_size=4), max_size=4), min_size=2, max_size=2, unique_by=tuple))
def test_different_parts_have_different_identities(sequences):
    known = services._known_index_key
    services._known_index_key = b"i" * 32
    try:
        one, other = (compute_identity(ANNA, parts) for parts in sequences)
    finally:
        services._known_index_key = known
    assert one != other


def test_the_models_have_no_migration_to_make(db):
    said = io.StringIO()
    call_command("makemigrations", "vault", check=True, dry_run=True, stdout=said)
    assert said.getvalue() == "No changes detected in app 'vault'\n"
