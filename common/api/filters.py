"""Filters that reject a value they cannot read, instead of widening the result."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import django_filters
from django import forms
from django.db.models import QuerySet

from common import strict_json
from common.datetimes import parse_rfc3339
from common.db.clock import db_now
from common.db.ids import get_first_uuid7_at, parse_uuid
from common.errors import ServiceError

FilterSetClass = TypeVar("FilterSetClass", bound=type[django_filters.FilterSet])

_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])", re.ASCII)
_UNIT_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400}

MAX_CLOCK_SKEW: Final = dt.timedelta(days=1)
"""Greatest difference between an id's time (an application's clock) and the row's (the database's)."""


class StrictDateTimeField(forms.Field):
    message = "must be a time like 2026-11-21T09:30:00Z, with its offset"

    def to_python(self, value: object) -> dt.datetime | None:
        if value in self.empty_values:
            return None
        time = parse_rfc3339(value)
        if time is None:
            raise forms.ValidationError(self.message)
        return time


class RelativeTimeField(StrictDateTimeField):
    """A time, or a time span such as `7d`, counted from now: `sign` is 1 for the future, -1 for the past."""

    message = "must be a time like 2026-11-21T09:30:00Z, with its offset, or a time span like 90m, 24h or 7d"

    def __init__(self, *, sign: int, **options: Any) -> None:
        self._sign = sign
        super().__init__(**options)

    def to_python(self, value: object) -> dt.datetime | None:
        span = _SPAN.fullmatch(value) if isinstance(value, str) else None
        if span is None:
            return super().to_python(value)
        seconds = int(span[1]) * _UNIT_SECONDS[span[2]]
        return db_now() + self._sign * dt.timedelta(seconds=seconds)


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


class RelativeTimeFilter(django_filters.Filter):
    """A bound on a time. `sign` says if a time span leads to the future (1) or to the past (-1)."""

    field_class = RelativeTimeField

    def __init__(self, *args: Any, sign: int = -1, help_text: str, **options: Any) -> None:
        direction = "from now" if sign > 0 else "ago"
        help_text = (
            f"{help_text} RFC 3339, with offset; or a time span such as `7d`: 7 days {direction}."
        )
        super().__init__(*args, sign=sign, help_text=help_text, **options)


class CreatedAfterFilter(RelativeTimeFilter):
    """Rows created after a time."""

    def filter(self, qs: QuerySet[Any], value: dt.datetime | None) -> QuerySet[Any]:
        if value is None:
            return qs
        # Ids tell the time as well, so the condition on the id ends the index scan early.
        first = _get_first_id(value, -MAX_CLOCK_SKEW)
        return qs.filter(**{f"{self.field_name}__gt": value}, id__gte=first)


class CreatedBeforeFilter(RelativeTimeFilter):
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


def add_dotted_filters(
    **filters: django_filters.Filter,
) -> Callable[[FilterSetClass], FilterSetClass]:
    """Decorate a filter set with filters whose parameter has a dot, written as two underscores."""

    def add(filterset: FilterSetClass) -> FilterSetClass:
        for name, item in filters.items():
            filterset.base_filters[name.replace("__", ".")] = item
        return filterset

    return add


class FilterSet(django_filters.FilterSet):
    """A filter set that validates and applies the given parameters alone, without a form.

    django-filter copies each filter of the class, and makes a form with a field for each of them,
    for every request. That took more time than the whole list without filters.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        queryset: QuerySet[Any],
        *,
        request: Any = None,
    ) -> None:
        # Not the constructor of django-filter: it copies all filters.
        self.data = data
        self.queryset = queryset
        self.request = request
        self.filters = {
            name: self._adopt(item) for name, item in self.base_filters.items() if name in data
        }

    def _adopt(self, item: django_filters.Filter) -> django_filters.Filter:
        adopted = copy.copy(item)
        adopted.model, adopted.parent = self.queryset.model, self
        # The setter makes the copy call the method of this filter set.
        adopted.method = item.method
        return adopted

    def is_valid(self) -> bool:
        return not self.errors

    @property
    def errors(self) -> dict[str, list[str]]:
        return self._cleaned[1]

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, value in self._cleaned[0].items():
            queryset = self.filters[name].filter(queryset, value)
        return queryset

    @functools.cached_property
    def qs(self) -> QuerySet[Any]:
        return self.filter_queryset(self.queryset)

    @functools.cached_property
    def _cleaned(self) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """The valid values, and the errors of the others."""
        values, errors = dict[str, Any](), dict[str, list[str]]()
        for name in self.filters:
            # The field of the class is made once, and shared: it has no state.
            field = self.base_filters[name].field
            try:
                values[name] = field.clean(field.widget.value_from_datadict(self.data, {}, name))
            except forms.ValidationError as error:
                errors[name] = error.messages
        return values, errors
