"""Filters that reject a value they cannot read, instead of widening the result."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

import django_filters
from django import forms
from django.db.models import QuerySet

from common import strict_json
from common.datetimes import parse_rfc3339
from common.db.ids import get_first_uuid7_at, parse_uuid
from common.errors import ServiceError

FilterSet = TypeVar("FilterSet", bound=type)

MAX_CLOCK_SKEW: Final = dt.timedelta(days=1)
"""Greatest difference between an id's time (an application's clock) and the row's (the database's)."""


class StrictDateTimeField(forms.Field):
    def to_python(self, value: object) -> dt.datetime | None:
        if value in self.empty_values:
            return None
        time = parse_rfc3339(value)
        if time is None:
            raise forms.ValidationError("must be a time like 2026-11-21T09:30:00Z, with its offset")
        return time


class UUIDField(forms.Field):
    def to_python(self, value: object) -> uuid.UUID | None:
        if value in self.empty_values:
            return None
        id = parse_uuid(value)
        if id is None:
            raise forms.ValidationError("must be an id: a UUID in lower case with hyphens")
        return id


class JSONObjectField(forms.Field):
    """A JSON object in the query string, with the limits of a body and without nested arrays."""

    def to_python(self, value: Any) -> dict[str, Any] | None:
        if value in self.empty_values:
            return None
        try:
            return strict_json.check_metadata_filter(strict_json.loads(value))
        except ServiceError as error:
            raise forms.ValidationError(error.detail) from None


class StrictDateTimeFilter(django_filters.Filter):
    field_class = StrictDateTimeField


class CreatedAfterFilter(StrictDateTimeFilter):
    """Rows created after a time."""

    def filter(self, qs: QuerySet[Any], value: dt.datetime | None) -> QuerySet[Any]:
        if value is None:
            return qs
        # Ids tell the time as well, so the condition on the id ends the index scan early.
        first = _get_first_id(value, -MAX_CLOCK_SKEW)
        return qs.filter(**{f"{self.field_name}__gt": value}, id__gte=first)


class CreatedBeforeFilter(StrictDateTimeFilter):
    """Rows created before a time."""

    def filter(self, qs: QuerySet[Any], value: dt.datetime | None) -> QuerySet[Any]:
        if value is None:
            return qs
        end = _get_first_id(value, MAX_CLOCK_SKEW)
        return qs.filter(**{f"{self.field_name}__lt": value}, id__lt=end)


def _get_first_id(time: dt.datetime, offset: dt.timedelta) -> uuid.UUID:
    try:
        return get_first_uuid7_at(time + offset)
    except OverflowError:
        return get_first_uuid7_at(time)


class UUIDFilter(django_filters.Filter):
    field_class = UUIDField


class JSONContainsFilter(django_filters.Filter):
    """Rows whose JSON contains the given object: nested, arrays, null; 42 is not "42"."""

    field_class = JSONObjectField

    def filter(self, qs: QuerySet[Any], value: dict[str, Any] | None) -> QuerySet[Any]:
        return qs if value is None else qs.filter(**{f"{self.field_name}__jsoncontains": value})


def add_dotted_filters(**filters: django_filters.Filter) -> Callable[[FilterSet], FilterSet]:
    """Decorate a filter set with filters whose parameter has a dot, written as two underscores."""

    def add(filterset: FilterSet) -> FilterSet:
        base_filters: dict[str, Any] = filterset.base_filters  # type: ignore[attr-defined]
        for name, item in filters.items():
            base_filters[name.replace("__", ".")] = item
        return filterset

    return add
