"""What the rooms' admin pages share: rows are shown without being counted, and written by services."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Final, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as confirmation_page
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.views.decorators.debug import sensitive_post_parameters

from common.actors import Actor
from common.admin.filters import MenuFilter, TextInputFilter
from common.admin.formatting import EMPTY_VALUE
from common.admin.forms import ServiceForm
from common.api.etags import ETags, format_etag
from common.errors import ServiceError

M = TypeVar("M", bound=models.Model)

# The lists need the room: at 1280 pixels they would lose columns to a menu beside them.
admin.site.enable_nav_sidebar = False
admin.site.site_url = None
admin.site.empty_value_display = EMPTY_VALUE

# The confirmation page posts one form field per row, and Django takes 1,000 fields.
MAX_BULK_DELETE: Final = 500


def get_staff_actor(request: Any) -> Actor:
    """The staff member behind a request of the admin."""
    return Actor(
        name=f"user:{request.user.pk}", request_id=request.request_id, ip=request.client_ip
    )


def read_form_etags(form: ServiceForm[Any]) -> ETags:
    """The revision that the form was made from: saving never undoes what somebody changed since."""
    return frozenset({format_etag(form.cleaned_data["revision"])})


class CappedPaginator(Paginator[Any]):
    """Counts no further than `limit`: to count a million rows takes longer than to show a page."""

    limit: ClassVar[int] = 10_000

    @cached_property
    def _seen(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.limit + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self._seen, self.limit)

    @property
    def capped(self) -> bool:
        return self._seen > self.limit


class RowActionsAdmin(admin.ModelAdmin[M]):
    """Actions on what was chosen in a list, if it can be an id at all."""

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Rows are chosen by their id alone; Django fails on the name of what is no column."""
        return to_field == self.opts.pk.name

    def limit_selection(self, request: HttpRequest, queryset: QuerySet[M], most: int) -> list[M]:
        """The rows; none, with a word about it, where there are more than `most`."""
        rows = list(queryset[: most + 1])
        if len(rows) <= most:
            return rows
        text = f"Select at most {most} at once; nothing was done."
        self.message_user(request, text, messages.ERROR)
        return []

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[M], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """What was posted by hand and is no id is a bad request; Django fails on it."""
        for id in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(id, None)
            except ValidationError:
                raise BadRequest("What was chosen is no row.") from None
        return super().response_action(request, queryset, *args, **kwargs)


class ServiceAdmin(RowActionsAdmin[M]):
    """`save_model` and `delete_model` call a service of the room; what it refuses, the page says."""

    add_form: ClassVar[type[ServiceForm[Any]] | None] = None
    actions: tuple[str, ...] = ("delete_selected",)
    list_per_page = 50
    ordering = ("-id",)
    paginator = CappedPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by: ClassVar[tuple[str, ...]] = ()

    def save_model(self, request: HttpRequest, obj: M, form: Any, change: bool) -> None:
        raise NotImplementedError("No service writes this.")

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        raise NotImplementedError("No service removes this.")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what the filters offer: Django lets a URL ask about any column of the model itself."""
        return lookup in {name for item in self.list_filter for name in _parameters(item)}

    @property
    def filters_have_a_form(self) -> bool:
        """Whether a filter is a menu or a box, which a button applies."""
        ours = (MenuFilter, TextInputFilter)
        return any(isinstance(item, type) and issubclass(item, ours) for item in self.list_filter)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        """An id finds its row by the primary key; anything else is looked for in `search_fields`."""
        found = self.filter_by_id(queryset, search_term)
        if found is not None:
            return found, False
        return super().get_search_results(request, queryset, search_term)

    def filter_by_id(self, queryset: QuerySet[M], typed: str) -> QuerySet[M] | None:
        """The row of `queryset` whose id was typed; None where there is none."""
        id = parse_id(typed)
        row = queryset.filter(pk=id) if id else queryset.none()
        return row if row.exists() else None

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None and self.add_form is not None:
            kwargs["form"] = self.add_form
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.refusal = getattr(request, "refusal", None)
        return form

    @method_decorator(sensitive_post_parameters())
    def changeform_view(
        self,
        request: Any,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ServiceError as problem:
            # Everything was rolled back. The same form, shown again, says why.
            request.refusal = problem
            return super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: M | None = None,
    ) -> HttpResponse:
        """The page of an object is called by the object's name; one button makes an object."""
        context |= {"show_save_and_add_another": False}
        if obj is not None:
            context |= {"title": str(obj), "subtitle": None}
        else:
            context |= {"show_save_and_continue": False}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ServiceError as problem:
            self.message_user(request, problem.detail, messages.ERROR)
            page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return HttpResponseRedirect(reverse(page, args=[object_id]))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The rows themselves: what hangs on them is the service's to judge, and may be a million."""
        shown = [f"{capfirst(self.opts.verbose_name)}: {row} [{row.pk}]" for row in objs]
        return shown, {str(self.opts.verbose_name_plural): len(shown)}, set(), []

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[M]) -> HttpResponse | None:
        rows = self.limit_selection(request, queryset, MAX_BULK_DELETE)
        if not rows:
            return None
        if not request.POST.get("post"):
            return confirmation_page(self, request, queryset)
        refusals = [self._delete_one(request, row) for row in rows]
        if count := refusals.count(None):
            name = model_ngettext(self.opts, count)
            self.message_user(request, f"Deleted {count} {name}.", messages.SUCCESS)
        for refusal in filter(None, refusals):
            self.message_user(request, refusal, messages.ERROR)
        return None

    def _delete_one(self, request: HttpRequest, row: M) -> str | None:
        name = str(row)
        try:
            with transaction.atomic():
                self.log_deletions(request, [row])  # type: ignore[arg-type]
                self.delete_model(request, row)
        except ServiceError as problem:
            return f"{name}: {problem.detail}"
        return None


def _parameters(item: Any) -> list[str]:
    """The parameters of the address that an entry of `list_filter` reads."""
    if boxes := getattr(item, "boxes", None):
        return list(boxes)
    return [getattr(item, "parameter_name", f"{item}__id__exact")]


def parse_id(typed: str) -> uuid.UUID | None:
    """The UUID that somebody typed or pasted, in any case, with or without hyphens."""
    try:
        return uuid.UUID(typed.strip())
    except ValueError:
        return None
