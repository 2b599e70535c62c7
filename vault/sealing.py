"""Sealing: JSON values to authenticated ciphertext that opens at one place of the database only.

A blob is a header of 18 bytes (version, suite, key id in ASCII padded with zeros) and the body that
the suite made. Every suite authenticates the header and the place along with the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import orjson
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from common.errors import ConflictError
from vault.ciphers import SEALERS, UNSEALERS, DecryptionError
from vault.keyring import ID_BYTES, ID_PATTERN, get_keyring

if TYPE_CHECKING:
    _AnyField = models.Field[Any, Any]

VERSION: Final = 1
HEADER_BYTES: Final = 2 + ID_BYTES
NO_ACCOUNT: Final = "-"


class SecretUnavailableError(ConflictError):
    """A seal that does not open: damaged, moved, or under a key (`missing`) that the ring lacks."""

    def __init__(self, missing: str | None = None) -> None:
        detail = "The stored secret cannot be opened with the keys of this server."
        super().__init__(f"{detail} The key {missing} is missing." if missing else detail)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Place:
    """Where a seal lies. A blob copied to any other place does not open there."""

    table: str
    column: str
    account_id: str
    row_id: str

    @classmethod
    def of(cls, instance: models.Model, field_name: str) -> Place:
        """The place of a field of a row, whose ids must be known already, else ValueError."""
        site = _site(type(instance), field_name)
        account = _id_text(instance, site.account) if site.account else NO_ACCOUNT
        return cls(site.table, site.column, account, _id_text(instance, site.row))

    def associated_data(self) -> bytes:
        """Each part behind its length: plain concatenation would let `a, bc` stand for `ab, c`."""
        account, row = self.account_id.encode(), self.row_id.encode()
        return b"%b%b%b%b%b" % (
            _column_data(self.table, self.column),
            len(account).to_bytes(2),
            account,
            len(row).to_bytes(2),
            row,
        )


@dataclass(frozen=True, slots=True, repr=False)
class SealedValue:
    """Ciphertext as it is stored. Any bytes may stand here: only opening tells whether they hold."""

    blob: bytes

    @property
    def suite(self) -> int:
        """The suite that the header states, 0 if it states none."""
        return self.blob[1] if len(self.blob) > 1 else 0

    @property
    def key_id(self) -> str:
        """The key id that the header states, `?` if it states none."""
        return parse_key_id(self.blob[2:HEADER_BYTES])

    def __repr__(self) -> str:
        return f"Sealed({self.key_id}, {len(self.blob)} bytes)"


def seal(place: Place, value: Any) -> SealedValue:
    """Encrypt a JSON value under the primary key with the suite of VAULT_SUITE.

    Raises TypeError for what is no JSON, ImproperlyConfigured for a wrong ring or suite.
    """
    suite, key = get_sealing_suite(), get_keyring().primary
    header = _header(suite, key.id)
    bound = header + place.associated_data()
    return SealedValue(header + SEALERS[suite](key, bound, orjson.dumps(value)))


def unseal(place: Place, sealed: SealedValue) -> Any:
    """The JSON value that was sealed for `place`. Raises SecretUnavailable for anything else."""
    header, body = sealed.blob[:HEADER_BYTES], sealed.blob[HEADER_BYTES:]
    opener = UNSEALERS.get(sealed.suite)
    if opener is None or len(header) != HEADER_BYTES or header[0] != VERSION:
        raise SecretUnavailableError
    key = get_keyring().get(sealed.key_id)
    if key is None:
        raise SecretUnavailableError(missing=sealed.key_id)
    try:
        return orjson.loads(opener(key, header + place.associated_data(), body))
    except DecryptionError:
        raise SecretUnavailableError from None


def can_unseal(place: Place, sealed: SealedValue) -> bool:
    """Whether `sealed` would open at `place`; what is in it is looked at by nobody."""
    try:
        unseal(place, sealed)
    except SecretUnavailableError:
        return False
    return True


def get_sealing_suite() -> int:
    """The suite that seals. Raises ImproperlyConfigured unless VAULT_SUITE is 1 or 2."""
    try:
        return {"1": 1, "2": 2}[str(settings.VAULT_SUITE)]
    except KeyError:
        raise ImproperlyConfigured("VAULT_SUITE must be 1 or 2.") from None


def pad_key_id(key_id: str) -> bytes:
    """The 16 bytes that stand for `key_id` in a header."""
    return key_id.encode("ascii").ljust(ID_BYTES, b"\0")


@lru_cache(maxsize=256)
def parse_key_id(padded: bytes) -> str:
    """The key id of 16 bytes of a header, `?` if they hold none."""
    found = padded.rstrip(b"\0").decode("ascii", "replace")
    return found if len(padded) == ID_BYTES and ID_PATTERN.fullmatch(found) else "?"


def has_account(model: type[models.Model]) -> bool:
    return any(field.attname == "account_id" for field in model._meta.concrete_fields)


class _Site(NamedTuple):
    """What all rows of a model share of a place: two names, and the fields that hold the ids."""

    table: str
    column: str
    account: _AnyField | None
    row: _AnyField


@lru_cache(maxsize=256)
def _site(model: type[models.Model], field_name: str) -> _Site:
    meta = model._meta
    column = str(_field(model, field_name).column)
    account = _field(model, "account_id") if has_account(model) else None
    return _Site(meta.db_table, column, account, meta.pk)


def _field(model: type[models.Model], name: str) -> _AnyField:
    return cast("_AnyField", model._meta.get_field(name))


def _id_text(instance: models.Model, field: _AnyField) -> str:
    """The one spelling of an id: a UUID given as upper-case text is the row that it will be."""
    value = field.to_python(getattr(instance, field.attname))
    if value is None:
        raise ValueError(f"{field.attname} must be known before anything is sealed for the row.")
    return str(value)


@lru_cache(maxsize=256)
def _column_data(table: str, column: str) -> bytes:
    parts = (b"latchkey/aad/1", table.encode(), column.encode())
    return b"".join(len(part).to_bytes(2) + part for part in parts)


@lru_cache(maxsize=64)
def _header(suite: int, key_id: str) -> bytes:
    return bytes([VERSION, suite]) + pad_key_id(key_id)
