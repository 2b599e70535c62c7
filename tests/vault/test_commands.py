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
    """The exit code, standard output and standard error of a command."""
    stdout, stderr, code = StringIO(), stderr or StringIO(), 0
    try:
        call_command(*command, stdout=stdout, stderr=stderr, no_color=True)
    except SystemExit as left:
        code = int(left.code or 0)
    return code, stdout.getvalue(), stderr.getvalue()


@pytest.fixture
def row(ring_of) -> Locker:
    """A row under k1, in a ring whose primary is k2 now."""
    verify_keyring()
    made = make_locker("hunter2")
    ring_of("k2", "k1")
    return made


@pytest.fixture
def damaged(row: Locker) -> Locker:
    assert row.secrets
    Locker.objects.update(secrets=flip_byte(row.secrets, -1))
    return row


def test_rotate_keys_ends_with_its_counts(row):
    assert run("rotate_keys") == (0, "rotated=2 remaining=0 failed=0\n", "")


def test_rotate_keys_twice_is_no_error(row):
    run("rotate_keys")
    assert run("rotate_keys", "--batch", "1") == (0, "rotated=0 remaining=0 failed=0\n", "")


def test_rotate_keys_names_what_does_not_open(damaged):
    code, out, err = run("rotate_keys")
    assert code == 1
    assert out == "rotated=1 remaining=1 failed=1\n"
    assert err == f"does not open: vault_locker.secrets {damaged.pk}\n"


def test_rotate_keys_shows_progress_on_a_terminal(row):
    assert run("rotate_keys", stderr=Terminal())[2] == "\r1/2\r2/2\n"


@pytest.mark.parametrize("batch", ["0", "-1", "x"])
def test_rotate_keys_refuses_a_batch(batch):
    with pytest.raises(CommandError):
        run("rotate_keys", "--batch", batch)


def test_verify_keys_counts_by_key(row):
    code, out, _ = run("verify_keys")
    assert code == 0
    assert {"vault_locker.secrets k1 1", "vault_indexkey.sealed k1 1"} <= set(out.splitlines())


def test_verify_keys_lists_what_does_not_open(damaged):
    code, out, _ = run("verify_keys")
    assert code == 1
    assert out.splitlines()[-1] == f"does not open: vault_locker.secrets {damaged.pk}"


def test_verify_keys_tells_what_a_missing_key_shuts(row, ring_of):
    ring_of("k2")
    code, out, _ = run("verify_keys")
    assert code == 1
    assert f"does not open: vault_locker.secrets {row.pk}" in out


def test_verify_keys_says_that_nothing_is_sealed():
    assert run("verify_keys")[:2] == (0, "Nothing is sealed yet.\n")


def test_verify_keys_shows_no_value(row):
    assert "hunter2" not in "".join(run("verify_keys")[1:])


@pytest.fixture
def lost(row: Locker, ring_of) -> Locker:
    """A row under k1, which no ring has any more; the index key has moved to k2."""
    index = IndexKey.objects.get()
    verify_keyring()
    index.sealed = seal(Place.of(index, "sealed"), unseal(Place.of(index, "sealed"), index.sealed))
    index.save()
    ring_of("k2")
    return row


def test_a_missing_key_says_how_to_go_on_without_it(lost):
    with pytest.raises(ImproperlyConfigured, match="forget_key k1"):
        verify_keyring()


def test_forget_key_lets_a_start_pass_and_counts_what_stays_shut(lost):
    code, out, err = run("forget_key", "k1")
    assert (code, out, err) == (0, "vault_locker.secrets 1\n", "")
    verify_keyring()


def test_a_forgotten_key_that_is_found_opens_its_rows_again(lost, ring_of):
    run("forget_key", "k1")
    ring_of("k2", "k1")
    verify_keyring()
    assert run("verify_keys")[0] == 0


@pytest.mark.parametrize("id", ["k2", "k9"])
def test_forget_key_refuses_a_key_that_is_there_or_never_was(lost, id):
    with pytest.raises(CommandError, match=id if id == "k2" else "no key of this id"):
        run("forget_key", id)
    with pytest.raises(ImproperlyConfigured):
        verify_keyring()


def test_forget_key_refuses_the_key_of_the_index(row, ring_of):
    ring_of("k2")
    with pytest.raises(CommandError, match="index key"):
        run("forget_key", "k1")
