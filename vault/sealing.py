"""Sealing: encryption of JSON values, each for one place of the database.

A blob is a header of 18 bytes (version, suite, key id in ASCII padded with zeros) and the body that
the suite made. Every suite authenticates the header and the place together with the value.
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
from vault.ciphers import CIPHERS, Cipher, DecryptionError
from vault.keyring import ID_BYTES, ID_PATTERN, Key, get_keyring

if TYPE_CHECKING:
    _AnyField = models.Field[Any, Any]

VERSION: Final = 1
HEADER_BYTES: Final = 2 + ID_BYTES
NO_ACCOUNT: Final = "-"


class SecretUnavailableError(ConflictError):
    """A value that cannot be decrypted: damaged, moved, or its key is not in the keyring."""

    def __init__(self, missing_key_id: str | None = None) -> None:
        detail = "The stored secret cannot be decrypted with the keys of this server."
        super().__init__(
            f"{detail} The key {missing_key_id} is missing." if missing_key_id else detail
        )
        self.missing_key_id = missing_key_id


@dataclass(frozen=True, slots=True)
class Place:
    """A column of a row. A blob that is copied to any other place cannot be decrypted there."""

    table: str
    column: str
    account_id: str
    row_id: str

    @classmethod
    def of(cls, instance: models.Model, field_name: str) -> Place:
        """Return the place of a field of a row. Raises ValueError if the row has no ids yet."""
        fields = _get_place_fields(type(instance), field_name)
        account = _format_id(instance, fields.account) if fields.account else NO_ACCOUNT
        return cls(fields.table, fields.column, account, _format_id(instance, fields.row))

    def associated_data(self) -> bytes:
        """Return the bytes that are authenticated with a value of this place."""
        # The lengths keep the parts `a`, `bc` and `ab`, `c` apart.
        account, row = self.account_id.encode(), self.row_id.encode()
        return b"%b%b%b%b%b" % (
            _encode_column(self.table, self.column),
            len(account).to_bytes(2),
            account,
            len(row).to_bytes(2),
            row,
        )


@dataclass(frozen=True, slots=True, repr=False)
class SealedValue:
    """A blob as it is stored. It can be any bytes: only `unseal` finds whether they are valid."""

    blob: bytes

    @property
    def suite(self) -> int:
        """The suite in the header, or 0 if there is none."""
        return self.blob[1] if len(self.blob) > 1 else 0

    @property
    def key_id(self) -> str:
        """The key id in the header, or `?` if there is none."""
        return parse_key_id(self.blob[2:HEADER_BYTES])

    def __repr__(self) -> str:
        return f"SealedValue({self.key_id}, {len(self.blob)} bytes)"


def seal(place: Place, value: object) -> SealedValue:
    """Encrypt a JSON value with the primary key and the suite of VAULT_SUITE.

    Raises TypeError if `value` is not JSON, ImproperlyConfigured for a wrong keyring or suite.
    """
    suite, key = get_sealing_suite(), get_keyring().primary
    header = _build_header(suite, key.id)
    data = header + place.associated_data()
    return SealedValue(header + CIPHERS[suite].encrypt(key, data, orjson.dumps(value)))


def unseal(place: Place, sealed: SealedValue) -> Any:
    """Return the JSON value that was sealed for `place`. Raises SecretUnavailableError otherwise."""
    cipher, key, data = _read_header(place, sealed)
    try:
        return orjson.loads(cipher.decrypt(key, data, sealed.blob[HEADER_BYTES:]))
    except DecryptionError:
        raise SecretUnavailableError from None


def can_unseal(place: Place, sealed: SealedValue) -> bool:
    """Return True if `sealed` can be decrypted at `place`. It is authenticated, and not decrypted."""
    try:
        cipher, key, data = _read_header(place, sealed)
        cipher.verify(key, data, sealed.blob[HEADER_BYTES:])
    except (SecretUnavailableError, DecryptionError):
        return False
    return True


def _read_header(place: Place, sealed: SealedValue) -> tuple[Cipher, Key, bytes]:
    """Return the cipher and the key of a blob, and the data that is authenticated with it."""
    header = sealed.blob[:HEADER_BYTES]
    cipher = CIPHERS.get(sealed.suite)
    if cipher is None or len(header) != HEADER_BYTES or header[0] != VERSION:
        raise SecretUnavailableError
    key = get_keyring().get(sealed.key_id)
    if key is None:
        raise SecretUnavailableError(missing_key_id=sealed.key_id)
    return cipher, key, header + place.associated_data()


def get_sealing_suite() -> int:
    """Return the suite for new values. Raises ImproperlyConfigured unless VAULT_SUITE is 1 or 2."""
    try:
        return {"1": 1, "2": 2}[str(settings.VAULT_SUITE)]
    except KeyError:
        raise ImproperlyConfigured("VAULT_SUITE must be 1 or 2.") from None


def pad_key_id(key_id: str) -> bytes:
    """Return the 16 bytes of `key_id` in a header."""
    return key_id.encode("ascii").ljust(ID_BYTES, b"\0")


@lru_cache(maxsize=256)
def parse_key_id(padded: bytes) -> str:
    """Return the key id in 16 bytes of a header, or `?` if they are not one."""
    key_id = padded.rstrip(b"\0").decode("ascii", "replace")
    return key_id if len(padded) == ID_BYTES and ID_PATTERN.fullmatch(key_id) else "?"


def has_account(model: type[models.Model]) -> bool:
    """Return True if the rows of `model` belong to an account, which is then part of their places."""
    return any(field.attname == "account_id" for field in model._meta.concrete_fields)


class _PlaceFields(NamedTuple):
    """The parts of a place that all rows of a model share: two names and the fields with the ids."""

    table: str
    column: str
    account: _AnyField | None
    row: _AnyField


@lru_cache(maxsize=256)
def _get_place_fields(model: type[models.Model], field_name: str) -> _PlaceFields:
    meta = model._meta
    field: Any = _get_field(model, field_name)
    table, column = getattr(field, "place", None) or (meta.db_table, field.column)
    account = _get_field(model, "account_id") if has_account(model) else None
    return _PlaceFields(table, column, account, meta.pk)


def _get_field(model: type[models.Model], name: str) -> _AnyField:
    return cast("_AnyField", model._meta.get_field(name))


def _format_id(instance: models.Model, field: _AnyField) -> str:
    # An unsaved row can have its UUID as text in any spelling; the stored row has one.
    value = field.to_python(getattr(instance, field.attname))
    if value is None:
        raise ValueError(f"{field.attname} must be known before anything is sealed for the row.")
    return str(value)


@lru_cache(maxsize=256)
def _encode_column(table: str, column: str) -> bytes:
    parts = (b"latchkey/aad/1", table.encode(), column.encode())
    return b"".join(len(part).to_bytes(2) + part for part in parts)


@lru_cache(maxsize=64)
def _build_header(suite: int, key_id: str) -> bytes:
    return bytes([VERSION, suite]) + pad_key_id(key_id)
