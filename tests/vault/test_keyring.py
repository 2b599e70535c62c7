from __future__ import annotations

import base64
import pickle
from contextlib import suppress

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.vault.locker import derive_test_key, format_keys
from vault.keyring import derive_subkey, get_keyring


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def get_keyring_error(settings, value: str = "", file: str = "") -> str:
    settings.VAULT_KEYS, settings.VAULT_KEYS_FILE = value, file
    with pytest.raises(ImproperlyConfigured) as caught:
        get_keyring()
    return str(caught.value)


REFUSED = {
    "none set": ("", "VAULT_KEYS is missing"),
    "blank": ("  ", "VAULT_KEYS is missing"),
    "only commas": (",,", "no key"),
    "no colon": (b64(derive_test_key("a")), "entry 1: an id"),
    "key before id": (f"{b64(derive_test_key('a'))}:k1", "entry 1: an id"),
    "second without id": (f"{format_keys('k1')},:{b64(derive_test_key('a'))}", "entry 2: an id"),
    "capital in id": (f"K1:{b64(derive_test_key('a'))}", "an id has 1 to 16"),
    "long id": (f"{'k' * 17}:{b64(derive_test_key('a'))}", "an id has 1 to 16"),
    "other digits in id": (f"k\u0661:{b64(derive_test_key('a'))}", "an id has 1 to 16"),
    "not base64": ("k1:!!!!", "the key k1 is not base64"),
    "not ASCII": ("k1:ключ", "the key k1 is not base64"),
    "no padding": (f"k1:{b64(derive_test_key('a'))[:-1]}", "the key k1 is not base64"),
    "16 bytes": (f"k1:{b64(b'x' * 16)}", "the key k1 has 16 bytes, not 32"),
    "33 bytes": (f"k1:{b64(b'x' * 33)}", "the key k1 has 33 bytes, not 32"),
    "empty key": ("k1:", "the key k1 has 0 bytes, not 32"),
    "all zeros": (f"k1:{b64(bytes(32))}", "the key k1 is all zeros"),
    "id twice": (f"{format_keys('k1')},k1:{b64(derive_test_key('x'))}", "the id k1 twice"),
    "same bytes twice": (
        f"{format_keys('k1')},k2:{b64(derive_test_key('k1'))}",
        "same key under k1 and k2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_keyring_is_rejected(settings, case):
    value, expected = REFUSED[case]
    assert expected in get_keyring_error(settings, value)


@pytest.mark.parametrize("case", REFUSED)
def test_error_is_one_line_without_key_bytes(settings, case):
    value, _ = REFUSED[case]
    sentence = get_keyring_error(settings, value)
    assert "\n" not in sentence
    for secret in (b64(derive_test_key("a")), b64(derive_test_key("k1")), b64(b"x" * 16)):
        assert secret[:12] not in sentence


def test_both_variables_are_rejected(settings):
    assert "both set" in get_keyring_error(settings, format_keys("k1"), "/somewhere")


@examples(max_examples=50, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_keyring_or_rejected(text):
    with override_settings(VAULT_KEYS=text, VAULT_KEYS_FILE=""), suppress(ImproperlyConfigured):
        assert get_keyring().ids


def test_the_first_key_is_the_primary(set_keyring):
    set_keyring("new", "old")
    assert get_keyring().primary.id == "new"


def test_every_key_is_found_by_its_id(set_keyring):
    set_keyring("new", "old")
    found = get_keyring().get("old")
    assert found is not None
    assert found.material == derive_test_key("old")


def test_an_unknown_id_is_none(set_keyring):
    set_keyring("k1")
    assert get_keyring().get("k2") is None


def test_the_ids_come_in_order(set_keyring):
    set_keyring("c", "a", "b")
    assert get_keyring().ids == ("c", "a", "b")


def test_keyring_is_read_once(set_keyring):
    set_keyring("k1")
    assert get_keyring() is get_keyring()


def test_repr_has_ids_only(set_keyring):
    set_keyring("k1", "k2")
    shown = repr(get_keyring()) + repr(get_keyring().get("k2"))
    assert "k1" in shown
    assert repr(derive_test_key("k1"))[2:10] not in shown
    assert b64(derive_test_key("k2")) not in shown


def test_subkeys_of_two_purposes_differ(set_keyring):
    set_keyring("k1")
    key = get_keyring().primary
    assert len({key.material, derive_subkey(key, "a"), derive_subkey(key, "b")}) == 3


def file_of(tmp_path, content: str, mode: int = 0o600) -> str:
    path = tmp_path / "vault.keys"
    path.write_text(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_file_of_the_owner_only_is_read(settings, tmp_path, mode):
    settings.VAULT_KEYS = ""
    settings.VAULT_KEYS_FILE = file_of(tmp_path, format_keys("k1"), mode)
    assert get_keyring().ids == ("k1",)


def test_a_file_may_have_lines_commas_and_comments(settings, tmp_path):
    content = f"# since May\n{format_keys('k3')}  # newest\n\n{format_keys('k2', 'k1')},\n"
    settings.VAULT_KEYS = ""
    settings.VAULT_KEYS_FILE = file_of(tmp_path, content)
    assert get_keyring().ids == ("k3", "k2", "k1")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o601])
def test_file_readable_by_others_is_rejected(settings, tmp_path, mode):
    path = file_of(tmp_path, format_keys("k1"), mode)
    assert f"chmod 600 {path}" in get_keyring_error(settings, file=path)


@pytest.mark.parametrize("content", ["", "# nothing\n"])
def test_file_without_keys_is_rejected(settings, tmp_path, content):
    assert "VAULT_KEYS_FILE has no key" in get_keyring_error(
        settings, file=file_of(tmp_path, content)
    )


def test_missing_file_is_rejected(settings, tmp_path):
    assert "cannot be read" in get_keyring_error(settings, file=str(tmp_path / "none"))


def test_folder_is_rejected(settings, tmp_path):
    assert "cannot be read" in get_keyring_error(settings, file=str(tmp_path))


def test_binary_file_is_rejected(settings, tmp_path):
    path = tmp_path / "raw"
    path.write_bytes(b"\xff" * 32)
    assert "is not text" in get_keyring_error(settings, file=str(path))


def test_a_bad_entry_of_a_file_names_the_file_variable(settings, tmp_path):
    assert get_keyring_error(settings, file=file_of(tmp_path, "k1:AAAA")).startswith(
        "VAULT_KEYS_FILE"
    )


def test_a_key_cannot_be_pickled_or_copied_into_a_pickle(settings):
    settings.VAULT_KEYS, settings.VAULT_KEYS_FILE = format_keys("k1"), ""
    keyring = get_keyring()
    for value in (keyring, keyring.primary, [keyring.primary]):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(value)
