"""Filters of admin lists: menus and text inputs in one form, without JavaScript."""

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
"""Accounts in the menu. A longer menu is hard to use; the URL accepts any account."""


class MenuFilter(admin.SimpleListFilter):
    """A menu. A value in the URL that is not on the menu is displayed and matches no row."""

    template = "admin/latchkey/filter_menu.html"

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: object) -> Iterator[Any]:
        value = self.value() or ""
        options = [("", "All"), *((str(key), str(title)) for key, title in self.lookup_choices)]
        if value not in dict(options):
            options.append((value, value))
        for key, title in options:
            yield {"value": key, "display": title, "selected": key == value}


class HealthFilter(MenuFilter):
    title = "health"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(status, status) for status in STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(health_status=self.value()) if self.value() else queryset


class AccountFilter(MenuFilter):
    """The account of a row. The URL takes any account's slug or id."""

    title = "account"
    parameter_name = "account"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        accounts = _get_accounts(model_admin.model)
        return list(accounts.values_list("slug", "name")[:ACCOUNTS_OFFERED])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        id = parse_uuid(value)
        account = _get_accounts(queryset.model).filter(Q(pk=id) if id else Q(slug=value)).first()
        return queryset.filter(account_id=account.pk) if account else queryset.none()


def _get_accounts(model: type[Model]) -> QuerySet[Any]:
    # This package must not import accounts, so the model is found by the foreign key.
    related: Any = model._meta.get_field("account").related_model
    accounts: QuerySet[Any] = related.objects.all()
    return accounts


class DateRangeFilter(MenuFilter):
    """Ranges of time relative to now, compared with `field`.

    `ranges` maps each choice to its title and its two ends in days. An end of None is open. With
    `null_title`, null is a choice with that title.
    """

    field: ClassVar[str]
    ranges: ClassVar[dict[str, tuple[str, int | None, int | None]]]
    null_title: ClassVar[str] = ""

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        ranges = [(key, title) for key, (title, _, _) in self.ranges.items()]
        return [*ranges, ("never", self.null_title)] if self.null_title else ranges

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        if value == "never" and self.null_title:
            # If the field is on a related row, test that the row is missing: the planner has
            # statistics for that.
            related, _, _ = self.field.partition("__")
            return queryset.filter(**{f"{related}__isnull": True})
        if value not in self.ranges:
            return queryset.none()
        _, first, last = self.ranges[value]
        now = db_now()
        if first is not None:
            queryset = queryset.filter(**{f"{self.field}__gte": now + dt.timedelta(days=first)})
        if last is not None:
            queryset = queryset.filter(**{f"{self.field}__lt": now + dt.timedelta(days=last)})
        return queryset


class TextInputFilter(admin.ListFilter):
    """Text inputs. `inputs` maps each parameter to its label; `help` explains them."""

    template = "admin/latchkey/filter_boxes.html"
    inputs: ClassVar[dict[str, str]]
    help: ClassVar[str] = ""

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[Model],
        model_admin: admin.ModelAdmin[Any],
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.inputs:
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1].strip()

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.inputs)

    def get_text(self, name: str) -> str:
        """Return the text entered for the parameter `name`."""
        return str(self.used_parameters.get(name, ""))

    def choices(self, changelist: object) -> Iterator[Any]:
        for name, label in self.inputs.items():
            yield {"name": name, "label": label, "value": self.get_text(name)}
