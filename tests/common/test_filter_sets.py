"""The filter set of the API: only the given parameters, and nothing shared between requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import django_filters
from django.db.models import QuerySet

from common.api.filters import FilterSet, UUIDFilter
from credentials.models import Credential


class Filters(FilterSet):
    provider = django_filters.CharFilter(strip=False)
    oauth_app_id = UUIDFilter(field_name="oauth_app_id")
    of_caller = django_filters.CharFilter(method="filter_caller")

    class Meta:
        model = Credential
        fields: list[str] = []

    def filter_caller(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(name=f"{self.request.caller} {value}")


def make_filters(caller: str = "first", **data: str) -> Filters:
    return Filters(data, Credential.objects.all(), request=SimpleNamespace(caller=caller))


def test_a_method_is_that_of_its_own_request():
    first, second = make_filters("first", of_caller="x"), make_filters("second", of_caller="x")
    assert "first x" in str(first.qs.query)
    assert "second x" in str(second.qs.query)
    assert "first x" in str(make_filters("first", of_caller="x").qs.query)


def test_only_given_parameters_are_filters():
    filters = make_filters(provider="stripe", cursor="unrelated")
    assert list(filters.filters) == ["provider"]
    assert "stripe" in str(filters.qs.query)
    assert make_filters().qs.query.where.children == []


def test_each_invalid_value_has_its_error():
    filters = make_filters(provider="stripe", oauth_app_id="nonsense")
    assert not filters.is_valid()
    assert list(filters.errors) == ["oauth_app_id"]
    assert make_filters(provider="stripe").is_valid()
