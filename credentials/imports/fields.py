"""The keys of an import body: each has one definition, for its validation and its published schema."""

from __future__ import annotations

import datetime as dt
import functools
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from rest_framework import serializers

from common import datetimes, strict_json, text
from common.api.etags import format_etag
from common.db.ids import parse_uuid

if TYPE_CHECKING:
    SerializerField = serializers.Field[Any, Any, Any, Any]

MAX_NAME_LENGTH: Final = 200
MAX_EMAIL_LENGTH: Final = 254
MAX_EXTERNAL_ID_LENGTH: Final = 255

_ETAG: Final = re.compile('"?[0-9]{1,18}"?', re.ASCII)


class BodyField(ABC):
    """One key of an import body."""

    is_text: ClassVar[bool] = True
    """Its value is a string, so that a CSV cell can have it."""

    @abstractmethod
    def read(self, value: object) -> Any:
        """Return the validated value. Raises ValueError with the reason."""

    @abstractmethod
    def build_serializer_field(self) -> SerializerField:
        """Return the field that describes this one in the OpenAPI document."""


class LabelField(BodyField):
    """One line of text."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a string")
        label = text.normalize_text(value)
        if error := text.find_label_error(label, max_length=self.max_length):
            raise ValueError(error)
        return label

    def build_serializer_field(self) -> SerializerField:
        return serializers.CharField(required=False, max_length=self.max_length)


class EmailField(BodyField):
    """An e-mail address. Null and "" both clear the stored one, and are read as ""."""

    def read(self, value: object) -> str:
        if value is None or value == "":
            return ""
        email = LabelField(MAX_EMAIL_LENGTH).read(value)
        if not is_email(email):
            raise ValueError("must be an e-mail address")
        return email

    def build_serializer_field(self) -> SerializerField:
        return serializers.EmailField(
            required=False, allow_null=True, allow_blank=True, max_length=MAX_EMAIL_LENGTH
        )


@functools.lru_cache(maxsize=4096)
def is_email(value: str) -> bool:
    """Return whether Django accepts the address."""
    # Cached, as an owner often has many credentials, and this takes longer than the rest of a line.
    try:
        validate_email(value)
    except ValidationError:
        return False
    return True


class AppIdField(BodyField):
    """The id of an OAuth app. Null clears it."""

    def read(self, value: object) -> uuid.UUID | None:
        app_id = parse_uuid(value)
        if value is not None and app_id is None:
            raise ValueError("must be an id: a UUID in lower case with hyphens")
        return app_id

    def build_serializer_field(self) -> SerializerField:
        return serializers.UUIDField(required=False, allow_null=True)


class RowIdField(BodyField):
    """The id of the credential that the body changes, as an export has it."""

    def read(self, value: object) -> uuid.UUID:
        id = parse_uuid(value)
        if id is None:
            raise ValueError("must be an id: a UUID in lower case with hyphens")
        return id

    def build_serializer_field(self) -> SerializerField:
        return serializers.UUIDField(
            required=False,
            help_text="Change this credential instead of the one with the same identity.",
        )


class ETagField(BodyField):
    """The entity tag that the credential of `id` must have, with or without its quotes."""

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not _ETAG.fullmatch(value):
            raise ValueError("must be the etag of an export, such as 3")
        return format_etag(int(value.strip('"')))

    def build_serializer_field(self) -> SerializerField:
        return serializers.RegexField(
            rf"^{_ETAG.pattern}$",
            required=False,
            help_text="Only with `id`: reject the body if the credential has changed.",
        )


class FlagField(BodyField):
    """A boolean. In a CSV cell it is the text `true` or `false`."""

    is_text = False

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value

    def build_serializer_field(self) -> SerializerField:
        return serializers.BooleanField(required=False)


class TimestampField(BodyField):
    """A time with its offset (RFC 3339)."""

    def read(self, value: object) -> dt.datetime:
        timestamp = datetimes.parse_rfc3339(value)
        if timestamp is None:
            raise ValueError("must be a time like 2026-11-21T09:30:00Z, with its offset")
        return timestamp

    def build_serializer_field(self) -> SerializerField:
        return serializers.DateTimeField(required=False)


class MetadataField(BodyField):
    """An object of the customer's own."""

    is_text = False

    def read(self, value: object) -> dict[str, Any]:
        return strict_json.check_metadata(value)

    def build_serializer_field(self) -> SerializerField:
        return serializers.DictField(required=False)


class PropertiesField(BodyField):
    """The properties of a kind, which are validated by the kind's schema."""

    is_text = False

    def read(self, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("must be an object")
        return value

    def build_serializer_field(self) -> SerializerField:
        return serializers.DictField()


FIELDS: Final[Mapping[str, BodyField]] = {
    "id": RowIdField(),
    "etag": ETagField(),
    "properties": PropertiesField(),
    "name": LabelField(MAX_NAME_LENGTH),
    "oauth_app_id": AppIdField(),
    "metadata": MetadataField(),
    "owner_email": EmailField(),
    "external_id": LabelField(MAX_EXTERNAL_ID_LENGTH),
    "obtained_at": TimestampField(),
    "hold": FlagField(),
}
"""The keys that an import body may have, in the order of the published schema."""

READ_ONLY: Final = frozenset(
    {
        "provider", "oauth_app", "health", "refresh", "expires_at", "last_used_at", "created_at",
        "updated_at",
    }
)  # fmt: skip
"""The keys of a credential's representation that an import ignores, and counts."""


def is_read_only(name: str) -> bool:
    """Return True for a key of READ_ONLY, or a part of one, such as `health.status` in a table."""
    return name.partition(".")[0] in READ_ONLY
