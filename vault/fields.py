"""The column for encrypted values."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Case, Value, When
from django.db.models.functions import Cast

from vault.sealing import SealedValue

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable
    from django.db.models.lookups import Lookup, Transform

# For mypy only: the types that are set and read, with None if the column has `null`.
_Set = TypeVar("_Set", contravariant=True)
_Get = TypeVar("_Get", covariant=True)


class SealedField(models.BinaryField[_Set, _Get]):
    """Bytes in the database, SealedValue in Python. Reading a row decrypts nothing.

    Any value but a SealedValue or None raises TypeError on its way to SQL: by save(), update(),
    bulk_create(), bulk_update() or an expression. All lookups except `isnull` raise FieldError.

    `place` is the table and column in the associated data if they are not the field's own. A value
    can then move to another column without being encrypted again.
    """

    if TYPE_CHECKING:
        _pyi_private_set_type: SealedValue | Combinable
        _pyi_private_get_type: SealedValue  # type: ignore[assignment]

    description = "Sealed value"
    empty_values = [None]

    def __init__(self, *args: Any, place: tuple[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.place = place

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if self.place is not None:
            kwargs["place"] = self.place
        return name, path, args, kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *self._check_row_id()]

    def get_lookup(self, lookup_name: str) -> type[Lookup[Any]] | None:
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def get_transform(self, lookup_name: str) -> type[Transform] | None:
        return None

    def from_db_value(self, value: Any, *context: Any) -> SealedValue | None:
        return None if value is None else SealedValue(bytes(value))

    def get_prep_value(self, value: Any) -> SealedValue | None:
        return _require_sealed(value)

    def get_db_prep_value(
        self, value: object, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> bytes | None:
        # Both drivers bind bytes as a blob.
        sealed = _require_sealed(value)
        return None if sealed is None else sealed.blob

    def get_db_prep_save(self, value: object, connection: BaseDatabaseWrapper) -> Any:
        if hasattr(value, "as_sql"):
            return _require_sealed_expression(value)
        return self.get_db_prep_value(value, connection)

    def to_python(self, value: Any) -> SealedValue | None:
        """Return the value, also from the text that `value_to_string` returns. Raises ValidationError."""
        if value is None or isinstance(value, SealedValue):
            return value
        try:
            sealed = SealedValue(base64.b64decode(value, validate=True))
        except (binascii.Error, TypeError, ValueError):
            sealed = SealedValue(b"")
        if sealed.suite == 0 or sealed.key_id == "?":
            raise ValidationError("A sealed value is the base64 of its ciphertext.")
        return sealed

    def value_to_string(self, obj: models.Model) -> str:
        sealed = _require_sealed(self.value_from_object(obj))
        return "" if sealed is None else base64.b64encode(sealed.blob).decode()

    def formfield(self, *args: Any, **kwargs: Any) -> None:
        return None

    def _check_row_id(self) -> Sequence[checks.CheckMessage]:
        # The place of a value contains the row's id, which a database sequence gives only with the insert.
        pk = self.model._meta.pk
        natural = isinstance(pk, models.CharField)
        if natural or (isinstance(pk, models.UUIDField) and pk.has_default()):
            return []
        return [
            checks.Error(
                "A model with a SealedField needs a primary key that is known before the insert.",
                hint="Make it a UUIDField with default=uuid7.",
                obj=self,
                id="vault.E001",
            )
        ]


def _require_sealed(value: object) -> SealedValue | None:
    if value is None or isinstance(value, SealedValue):
        return value
    # The message has only the type, because the value may be the plaintext.
    raise TypeError(f"A SealedField stores a SealedValue or None, not {type(value).__name__}.")


def _require_sealed_expression(value: object) -> Any:
    """Raise TypeError for all but the expression of bulk_update(): a case of sealed values or None."""
    match value:
        case Cast():
            _require_sealed_expression(value.get_source_expressions()[0])
        case Case():
            for part in value.get_source_expressions():
                _require_sealed_expression(part.result if isinstance(part, When) else part)
        case Value():
            _require_sealed(value.value)
        case _:
            raise TypeError("A SealedField cannot be set by an expression.")
    return value
