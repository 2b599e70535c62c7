"""Filters that refuse what they cannot read, instead of widening the result."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

import django_filters
from django import forms

from common import datetimes, strict_json
from common.db.ids import get_first_uuid7_at, parse_uuid
from common.errors import ServiceError

MAX_CLOCK_SKEW: Final = dt.timedelta(days=1)
"""How far an id's time, an application's clock, may be from the row's, which is the database's."""


class StrictDateTimeField(forms.Field):
    def to_python(self, value: Any) -> dt.datetime | None:
        if value in self.empty_values:
            return None
        moment = datetimes.parse_rfc3339(value)
        if moment is None:
            raise forms.ValidationError("must be a time like 2026-11-21T09:30:00Z, with its offset")
        return moment


class UUIDField(forms.Field):
    def to_python(self, value: Any) -> uuid.UUID | None:
        if value in self.empty_values:
            return None
        found = parse_uuid(value)
        if found is None:
            raise forms.ValidationError("must be an id: a UUID in lower case with hyphens")
        return found


class JSONObjectField(forms.Field):
    """A JSON object written into the query string, through the same gate as a body."""

    def to_python(self, value: Any) -> dict[str, Any] | None:
        if value in self.empty_values:
            return None
        try:
            return strict_json.check_metadata(strict_json.loads(value))
        except ServiceError as problem:
            raise forms.ValidationError(problem.detail) from None


class StrictDateTimeFilter(django_filters.Filter):
    field_class = StrictDateTimeField


class CreatedAfterFilter(StrictDateTimeFilter):
    """Rows made after a moment. Their ids tell the time as well, and spare a list all rows beyond."""

    def filter(self, qs: Any, value: dt.datetime | None) -> Any:
        if value is None:
            return qs
        return qs.filter(
            **{f"{self.field_name}__gt": value}, id__gte=_first(value, -MAX_CLOCK_SKEW)
        )


class CreatedBeforeFilter(StrictDateTimeFilter):
    """As MadeAfterFilter, of those made before."""

    def filter(self, qs: Any, value: dt.datetime | None) -> Any:
        if value is None:
            return qs
        return qs.filter(**{f"{self.field_name}__lt": value}, id__lt=_first(value, MAX_CLOCK_SKEW))


def _first(moment: dt.datetime, plus: dt.timedelta) -> uuid.UUID:
    try:
        return get_first_uuid7_at(moment + plus)
    except OverflowError:
        return get_first_uuid7_at(moment)


class UUIDFilter(django_filters.Filter):
    field_class = UUIDField


class JSONContainsFilter(django_filters.Filter):
    """Rows whose JSON contains the given object: nested, arrays, null; 42 is not "42"."""

    field_class = JSONObjectField

    def filter(self, qs: Any, value: dict[str, Any] | None) -> Any:
        return qs if value is None else qs.filter(**{f"{self.field_name}__jsoncontains": value})


def add_dotted_filters(**filters: django_filters.Filter) -> Any:
    """Class decorator: filters whose parameter has a dot, written with two underscores here."""

    def add(filterset: Any) -> Any:
        for name, found in filters.items():
            filterset.base_filters[name.replace("__", ".")] = found
        return filterset

    return add
