from __future__ import annotations

from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from tests.vault.locker import Locker, flip_byte, make_locker
from vault.models import IndexKey
from vault.sealing import Place, seal, unseal
from vault.services import verify_keyring

pytestmark = pytest.mark.usefixtures("vault")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*command: str, stderr: StringIO | None = None) -> tuple[int, str, str]:
    """Run a command and return its exit code, standard output and standard error."""
    stdout, stderr, code = StringIO(), stderr or StringIO(), 0
    try:
        call_command(*command, stdout=stdout, stderr=stderr, no_color=True)
    except SystemExit as left:
        code = int(left.code or 0)
    return code, stdout.getvalue(), stderr.getvalue()


@pytest.fixture
def row(set_keyring) -> Locker:
    """A row sealed with k1, in a keyring whose primary key is k2 now."""
    verify_keyring()
    made = make_locker("hunter2")
    set_keyring("k2", "k1")
    return made


@pytest.fixture
def damaged(row: Locker) -> Locker:
    assert row.secrets
    Locker.objects.update(secrets=flip_byte(row.secrets, -1))
    return row


def test_rotate_keys_prints_its_counts(row):
    assert run("rotate_keys") == (0, "rotated=2 remaining=0 failed=0\n", "")


def test_rotate_keys_can_run_twice(row):
    run("rotate_keys")
    assert run("rotate_keys", "--batch", "1") == (0, "rotated=0 remaining=0 failed=0\n", "")


def test_rotate_keys_prints_undecryptable_values(damaged):
    code, out, err = run("rotate_keys")
    assert code == 1
    assert out == "rotated=1 remaining=1 failed=1\n"
    assert err == f"cannot be decrypted: vault_locker.secrets {damaged.pk}\n"


def test_rotate_keys_shows_progress_on_a_terminal(row):
    assert run("rotate_keys", stderr=Terminal())[2] == "\r1/2\r2/2\n"


@pytest.mark.parametrize("batch", ["0", "-1", "x"])
def test_rotate_keys_rejects_a_batch_size(batch):
    with pytest.raises(CommandError):
        run("rotate_keys", "--batch", batch)


def test_verify_keys_counts_by_key(row):
    code, out, _ = run("verify_keys")
    assert code == 0
    assert {"vault_locker.secrets k1 1", "vault_indexkey.sealed k1 1"} <= set(out.splitlines())


def test_verify_keys_prints_undecryptable_values(damaged):
    code, out, _ = run("verify_keys")
    assert code == 1
    assert out.splitlines()[-1] == f"cannot be decrypted: vault_locker.secrets {damaged.pk}"


def test_verify_keys_prints_values_of_a_missing_key(row, set_keyring):
    set_keyring("k2")
    code, out, _ = run("verify_keys")
    assert code == 1
    assert f"cannot be decrypted: vault_locker.secrets {row.pk}" in out


def test_verify_keys_says_that_nothing_is_sealed():
    assert run("verify_keys")[:2] == (0, "Nothing is sealed yet.\n")


def test_verify_keys_prints_no_plaintext(row):
    assert "hunter2" not in "".join(run("verify_keys")[1:])


@pytest.fixture
def lost(row: Locker, set_keyring) -> Locker:
    """A row sealed with k1, which is in no keyring any more; the index key is sealed with k2."""
    index = IndexKey.objects.get()
    verify_keyring()
    index.sealed = seal(Place.of(index, "sealed"), unseal(Place.of(index, "sealed"), index.sealed))
    index.save()
    set_keyring("k2")
    return row


def test_error_of_a_missing_key_names_forget_key(lost):
    with pytest.raises(ImproperlyConfigured, match="forget_key k1"):
        verify_keyring()


def test_forget_key_lets_a_process_start_and_prints_counts(lost):
    code, out, err = run("forget_key", "k1")
    assert (code, out, err) == (0, "vault_locker.secrets 1\n", "")
    verify_keyring()


def test_rows_of_a_forgotten_key_that_is_found_can_be_decrypted(lost, set_keyring):
    run("forget_key", "k1")
    set_keyring("k2", "k1")
    verify_keyring()
    assert run("verify_keys")[0] == 0


@pytest.mark.parametrize("id", ["k2", "k9"])
def test_forget_key_rejects_a_present_or_unknown_key(lost, id):
    with pytest.raises(CommandError, match=id if id == "k2" else "no key of this id"):
        run("forget_key", id)
    with pytest.raises(ImproperlyConfigured):
        verify_keyring()


def test_forget_key_rejects_the_key_of_the_index_key(row, set_keyring):
    set_keyring("k2")
    with pytest.raises(CommandError, match="index key"):
        run("forget_key", "k1")
