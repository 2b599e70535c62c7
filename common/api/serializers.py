"""Serializers that neither coerce nor ignore: a wrong type and an unknown field are errors."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import validate_email
from rest_framework import serializers

from common import strict_json, text
from common.datetimes import parse_rfc3339
from common.db.ids import parse_uuid
from common.errors import InvalidInputError


class StrictSerializer(serializers.Serializer[Any]):
    """Fields of a JSON object. An unknown field or an invalid value is 422, with its reason."""

    def to_internal_value(self, data: object) -> dict[str, Any]:
        if isinstance(data, Mapping):
            unknown = set(data) - set(self.fields)
            if unknown:
                raise serializers.ValidationError(
                    {text.escape_name(str(name)): ["unknown field"] for name in unknown}
                )
        values: dict[str, Any] = super().to_internal_value(data)
        return values

    def validate_data(self) -> dict[str, Any]:
        """Return the validated values. Raise InvalidInputError, which names every invalid field."""
        if not self.is_valid():
            raise InvalidInputError.for_fields(_flatten_errors(self.errors))
        return dict(self.validated_data)


class StrictCharField(serializers.CharField):
    """A label: one line of text, no other type, normalized to NFC, not blank.

    With `secret=True` the text is stored unchanged. With `allow_blank=True` it may be empty.
    """

    def __init__(self, *, max_length: int, secret: bool = False, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        # Not passed to DRF, whose own validators would coerce and count first.
        self.limit, self.secret = max_length, secret

    def run_validation(self, data: object = serializers.empty) -> object:
        is_empty, value = self.validate_empty_values(data)
        if is_empty or (value == "" and self.allow_blank):
            return value
        if not isinstance(value, str):
            raise serializers.ValidationError("must be a string")
        value = value if self.secret else text.normalize_text(value)
        find_error = text.find_secret_error if self.secret else text.find_label_error
        if error := find_error(value, max_length=self.limit):
            raise serializers.ValidationError(error)
        return value


class StrictBooleanField(serializers.BooleanField):
    def to_internal_value(self, data: object) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("must be true or false")
        return data


class StrictUUIDField(serializers.UUIDField):
    def to_internal_value(self, data: object) -> uuid.UUID:
        id = parse_uuid(data)
        if id is None:
            raise serializers.ValidationError("must be an id: a UUID in lower case with hyphens")
        return id


class StrictDateTimeField(serializers.DateTimeField):
    """RFC 3339 with an offset."""

    def to_internal_value(self, value: object) -> dt.datetime:
        time = parse_rfc3339(value)
        if time is None:
            raise serializers.ValidationError(
                "must be a time like 2026-11-21T09:30:00Z, with its offset"
            )
        return time


class EmailField(StrictCharField):
    def run_validation(self, data: object = serializers.empty) -> object:
        value = super().run_validation(data)
        if isinstance(value, str) and value:
            try:
                validate_email(value)
            except DjangoValidationError:
                raise serializers.ValidationError("must be an e-mail address") from None
        return value


class MetadataField(serializers.JSONField):
    """A JSON object within the limits of common.strict_json. Null is rejected."""

    def run_validation(self, data: object = serializers.empty) -> object:
        if data is serializers.empty:
            if self.required:
                self.fail("required")
            raise serializers.SkipField
        return strict_json.check_metadata(data, field=self.field_name or "metadata")


class LabelListField(serializers.ListField):
    """A list of distinct one-line strings."""

    def __init__(self, *, max_items: int, **kwargs: Any) -> None:
        super().__init__(child=StrictCharField(max_length=2048), max_length=max_items, **kwargs)

    def to_internal_value(self, data: object) -> list[str]:
        if not isinstance(data, list):
            raise serializers.ValidationError("must be a list of strings")
        values: list[str] = super().to_internal_value(data)
        if len(set(values)) != len(values):
            raise serializers.ValidationError("must not have the same value twice")
        return values


def _flatten_errors(errors: Mapping[str, Any], prefix: str = "") -> dict[str, list[str]]:
    """Return DRF's nested errors as one level: {"redirect_uris.0": ["…"]}."""
    flat: dict[str, list[str]] = {}
    for name, reasons in errors.items():
        path = f"{prefix}{name}"
        if isinstance(reasons, dict):
            flat |= _flatten_errors(reasons, f"{path}.")
        else:
            flat[path] = [str(reason) for reason in reasons]
    return flat
