"""Filters that stand in one form beside a list: menus and boxes, without JavaScript."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from common.db.clock import db_now
from common.db.ids import parse_uuid
from common.health import STATUSES

ACCOUNTS_OFFERED: Final = 200
"""A menu of more is no help."""


class MenuFilter(admin.SimpleListFilter):
    """One menu. A value that it does not offer, as an address may have, is shown and finds nothing."""

    template = "admin/latchkey/filter_menu.html"

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[Any]:
        value = self.value() or ""
        offered = [("", "All"), *((str(key), str(title)) for key, title in self.lookup_choices)]
        if value not in dict(offered):
            offered.append((value, value))
        for key, title in offered:
            yield {"value": key, "display": title, "selected": key == value}


class HealthFilter(MenuFilter):
    title = "health"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, status) for status in STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(health_status=self.value()) if self.value() else queryset


class AccountFilter(MenuFilter):
    """Of lists whose rows belong to an account; the address takes any account's slug or id."""

    title = "account"
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        accounts = _accounts(model_admin.model)
        return list(accounts.values_list("slug", "name")[:ACCOUNTS_OFFERED])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        id = parse_uuid(value)
        found = _accounts(queryset.model).filter(Q(pk=id) if id else Q(slug=value)).first()
        return queryset.filter(account_id=found.pk) if found else queryset.none()


def _accounts(model: type[Model]) -> QuerySet[Any]:
    related: Any = model._meta.get_field("account").related_model
    accounts: QuerySet[Any] = related.objects.all()
    return accounts


class DateRangeFilter(MenuFilter):
    """Spans of time from now. `spans` maps each choice to its title and its two ends in days.

    An end of None is open. `field` is what is compared; with `never`, null is a choice of its own.
    """

    field: ClassVar[str]
    spans: ClassVar[dict[str, tuple[str, int | None, int | None]]]
    never: ClassVar[str] = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        spans = [(key, title) for key, (title, _, _) in self.spans.items()]
        return [*spans, ("never", self.never)] if self.never else spans

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        if value == "never" and self.never:
            # Of a row elsewhere, that there is none: the planner knows how many these are.
            absent, _, _ = self.field.partition("__")
            return queryset.filter(**{f"{absent}__isnull": True})
        if value not in self.spans:
            return queryset.none()
        _, first, last = self.spans[value]
        now = db_now()
        if first is not None:
            queryset = queryset.filter(**{f"{self.field}__gte": now + dt.timedelta(days=first)})
        if last is not None:
            queryset = queryset.filter(**{f"{self.field}__lt": now + dt.timedelta(days=last)})
        return queryset


class TextInputFilter(admin.ListFilter):
    """Boxes to type into. `boxes` maps a parameter to its label; `help` says what may be typed."""

    template = "admin/latchkey/filter_boxes.html"
    boxes: ClassVar[dict[str, str]]
    help: ClassVar[str] = ""

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.boxes:
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1].strip()

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.boxes)

    def typed(self, name: str) -> str:
        return str(self.used_parameters.get(name, ""))

    def choices(self, changelist: Any) -> Iterator[Any]:
        for name, label in self.boxes.items():
            yield {"name": name, "label": label, "value": self.typed(name)}
