"""Filters that refuse what they cannot read, instead of widening the result."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import django_filters
from django import forms

from common import strict_json, times
from common.errors import Problem
from common.ids import parse_uuid


class MomentField(forms.Field):
    def to_python(self, value: Any) -> dt.datetime | None:
        if value in self.empty_values:
            return None
        moment = times.parse(value)
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
        except Problem as problem:
            raise forms.ValidationError(problem.detail) from None


class MomentFilter(django_filters.Filter):
    field_class = MomentField


class UUIDFilter(django_filters.Filter):
    field_class = UUIDField


class ContainsFilter(django_filters.Filter):
    """Rows whose JSON contains the given object: nested, arrays, null; 42 is not "42"."""

    field_class = JSONObjectField

    def filter(self, qs: Any, value: dict[str, Any] | None) -> Any:
        return qs if value is None else qs.filter(**{f"{self.field_name}__jsoncontains": value})


def dotted(**filters: django_filters.Filter) -> Any:
    """Class decorator: filters whose parameter has a dot, written with two underscores here."""

    def add(filterset: Any) -> Any:
        for name, found in filters.items():
            filterset.base_filters[name.replace("__", ".")] = found
        return filterset

    return add
