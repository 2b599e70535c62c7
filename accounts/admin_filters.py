from __future__ import annotations

from typing import Any, Final

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import Account
from common.admin_filters import MenuFilter
from common.ids import parse_uuid

OFFERED: Final = 200
"""A menu of more is no help: the address takes any account's slug or id."""


class AccountFilter(MenuFilter):
    title = "account"
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(Account.objects.values_list("slug", "name")[:OFFERED])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        id = parse_uuid(value)
        account = Account.objects.filter(Q(pk=id) if id else Q(slug=value)).first()
        return queryset.filter(account_id=account.pk) if account else queryset.none()
