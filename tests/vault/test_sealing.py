"""A sealed value is confidential, authenticated, bound to its place, and unique."""

from __future__ import annotations

import base64
import dataclasses
import uuid

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from common.errors import ConflictError
from tests.vault.locker import Locker, flip_byte, format_keys
from vault.ciphers import CbcHmacCipher, get_fernet
from vault.keyring import get_keyring
from vault.models import Canary
from vault.sealing import (
    HEADER_BYTES,
    Place,
    SealedValue,
    SecretUnavailableError,
    can_unseal,
    seal,
    unseal,
)

PLACE = Place("credentials", "secrets", "account", "row")
PLAIN = "sk_live_a-long-enough-secret"
STORED_ONCE = [
    "AQFrMQAAAAAAAAAAAAAAAAAAEXk+LFkDc12ces5bJpQEXUBgLhQEgdOAfJkqKdK7Uxa/TOdpG8VNz3D8CD6/rLhXkseTo8TVU23HBxxEPqxWXw==",
    "AQJrMQAAAAAAAAAAAAAAAAAAEXQcek8FyiFqZAofL9yIc3zOF2f+TqwV8K7Q7dSum1hU0w==",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
both_suites = pytest.mark.parametrize("number", ["1", "2"])


@pytest.fixture(autouse=True)
def _ring(set_keyring):
    set_keyring("k1", "k0")


def assert_undecryptable(place: Place, sealed: SealedValue) -> SecretUnavailableError:
    with pytest.raises(SecretUnavailableError) as caught:
        unseal(place, sealed)
    return caught.value


def spellings(plain: bytes) -> list[bytes]:
    """Return the plaintext, its hex, and its base64 at each of the three alignments."""
    shifted = [base64.b64encode(b"x" * n + plain)[4 : 4 * (len(plain) // 3)] for n in range(3)]
    return [plain, plain.hex().encode(), plain.hex().upper().encode(), *shifted]


def test_unseal_returns_the_sealed_value(suite):
    assert unseal(PLACE, seal(PLACE, {"token": PLAIN})) == {"token": PLAIN}


@both_suites
@examples(max_examples=40, deadline=None)
@given(value=JSON)
def test_any_json_value_is_returned(number, value):
    with override_settings(VAULT_SUITE=number, VAULT_KEYS=format_keys("k1")):
        assert unseal(PLACE, seal(PLACE, value)) == value


def test_the_plaintext_is_not_in_the_blob(suite):
    blob = seal(PLACE, {"token": PLAIN}).blob
    assert not [spelling for spelling in spellings(PLAIN.encode()) if spelling in blob]


def test_every_flipped_byte_is_found(suite):
    sealed = seal(PLACE, PLAIN)
    for at in range(len(sealed.blob)):
        assert_undecryptable(PLACE, flip_byte(sealed, at))


def test_every_truncation_is_found(suite):
    blob = seal(PLACE, PLAIN).blob
    for length in range(len(blob)):
        assert_undecryptable(PLACE, SealedValue(blob[:length]))


def test_an_appended_byte_is_found(suite):
    assert_undecryptable(PLACE, SealedValue(seal(PLACE, PLAIN).blob + b"\0"))


@examples(max_examples=100, deadline=None)
@given(st.binary(max_size=120))
def test_arbitrary_bytes_cannot_be_decrypted(blob):
    assert_undecryptable(PLACE, SealedValue(blob))


@both_suites
@examples(max_examples=30, deadline=None)
@given(body=st.binary(max_size=120))
def test_arbitrary_body_cannot_be_decrypted(number, body):
    with override_settings(VAULT_SUITE=number, VAULT_KEYS=format_keys("k1")):
        assert_undecryptable(PLACE, SealedValue(seal(PLACE, PLAIN).blob[:HEADER_BYTES] + body))


@pytest.mark.parametrize("part", ["table", "column", "account_id", "row_id"])
def test_moved_blob_cannot_be_decrypted(suite, part):
    assert_undecryptable(dataclasses.replace(PLACE, **{part: "other"}), seal(PLACE, PLAIN))


@examples(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.text(max_size=4), min_size=4, max_size=4),
        min_size=2,
        max_size=2,
        unique_by=tuple,
    )
)
def test_two_places_never_have_the_same_associated_data(parts):
    one, other = (Place(*names).associated_data() for names in parts)
    assert one != other


def test_the_length_of_every_part_is_associated():
    place = Place("ta", "", "\0\1", "row")
    expected = b"\0\x0elatchkey/aad/1\0\2ta\0\0\0\2\0\1\0\3row"
    assert place.associated_data() == expected


@pytest.mark.parametrize("blob", STORED_ONCE)
def test_blobs_of_former_versions_can_be_decrypted(blob):
    assert unseal(PLACE, SealedValue(base64.b64decode(blob))) == "kept"


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 200])
def test_suite_1_encrypts_as_django_cryptography_does(length):
    key, iv, plaintext = get_keyring().primary, b"i" * 16, b"p" * length
    payload = CbcHmacCipher().encrypt_cbc(key, plaintext, iv)
    assert payload == get_fernet(key)._encrypt_from_parts(plaintext, iv)


def test_a_thousand_blobs_of_one_value_are_distinct(suite):
    assert len({seal(PLACE, PLAIN).blob for _ in range(1000)}) == 1000


def test_the_blob_names_its_key_and_suite(suite):
    sealed = seal(PLACE, PLAIN)
    assert (sealed.key_id, sealed.suite) == ("k1", int(suite))


def test_blob_of_the_other_suite_can_be_decrypted(settings, suite):
    sealed = seal(PLACE, PLAIN)
    settings.VAULT_SUITE = {"1": "2", "2": "1"}[suite]
    assert unseal(PLACE, sealed) == PLAIN


def test_header_of_the_other_suite_is_rejected(suite):
    blob = bytearray(seal(PLACE, PLAIN).blob)
    blob[1] = 3 - blob[1]
    assert_undecryptable(PLACE, SealedValue(bytes(blob)))


def test_blob_of_another_key_of_the_keyring_can_be_decrypted(set_keyring, suite):
    sealed = seal(PLACE, PLAIN)
    set_keyring("k2", "k1")
    assert unseal(PLACE, sealed) == PLAIN


def test_blob_relabelled_to_another_key_is_rejected(suite):
    blob = seal(PLACE, PLAIN).blob
    assert_undecryptable(PLACE, SealedValue(blob[:2] + b"k0" + blob[4:]))


def test_wrong_key_under_the_right_id_is_rejected(settings, suite):
    sealed = seal(PLACE, PLAIN)
    settings.VAULT_KEYS = format_keys("other").replace("other:", "k1:")
    assert_undecryptable(PLACE, sealed)


def test_can_unseal(suite):
    sealed = seal(PLACE, PLAIN)
    assert can_unseal(PLACE, sealed)
    assert not can_unseal(PLACE, flip_byte(sealed, -1))


def test_a_missing_key_is_named(set_keyring, suite):
    sealed = seal(PLACE, PLAIN)
    set_keyring("k2")
    caught = assert_undecryptable(PLACE, sealed)
    assert caught.missing_key_id == "k1"
    assert caught.detail.endswith("The key k1 is missing.")


def test_error_of_a_damaged_blob_has_no_cause(suite):
    caught = assert_undecryptable(PLACE, flip_byte(seal(PLACE, PLAIN), -1))
    assert isinstance(caught, ConflictError)
    assert caught.detail == "The stored secret cannot be decrypted with the keys of this server."
    assert caught.__cause__ is None
    assert caught.__suppress_context__


@pytest.mark.parametrize(
    "blob", [b"", b"\x01", b"\x01\x01", b"\x01\x01" + bytes(16), b"\x01\x02k1\0\0k1"]
)
def test_blob_without_a_header_has_no_key_id(blob):
    assert SealedValue(blob).key_id == "?"


def test_repr_has_key_id_and_length():
    sealed = seal(PLACE, PLAIN)
    assert repr(sealed) == f"SealedValue(k1, {len(sealed.blob)} bytes)"


def test_seal_rejects_a_value_that_is_not_json(suite):
    with pytest.raises(TypeError):
        seal(PLACE, object())


@pytest.mark.parametrize("value", ["", "3", "AES", "1 "])
def test_unknown_suite_is_rejected(settings, value):
    settings.VAULT_SUITE = value
    with pytest.raises(ImproperlyConfigured, match="VAULT_SUITE must be 1 or 2"):
        seal(PLACE, PLAIN)


def test_the_place_of_a_row_has_its_account():
    row = Locker(id=uuid.UUID(int=1), account_id=uuid.UUID(int=2))
    place = Place.of(row, "spare")
    assert place == Place("vault_locker", "spare", str(uuid.UUID(int=2)), str(uuid.UUID(int=1)))


def test_the_place_of_a_row_without_account_has_a_dash():
    assert Place.of(Canary(key_id="k1"), "sealed") == Place("vault_canary", "sealed", "-", "k1")


def test_place_does_not_depend_on_the_spelling_of_the_id():
    row, spelled = uuid.UUID(int=0xAB), str(uuid.UUID(int=0xAB)).upper()
    assert Place.of(Locker(id=row), "secrets") == Place.of(Locker(id=spelled), "secrets")


@pytest.mark.parametrize("missing", ["id", "account_id"])
def test_a_row_without_ids_has_no_place(missing):
    with pytest.raises(ValueError, match=f"{missing} must be known"):
        Place.of(Locker(**{missing: None}), "secrets")
