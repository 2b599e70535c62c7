"""Base classes of model admins: lists without a full count, and writes through services."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar, cast

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as render_delete_confirmation
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db import models, transaction
from django.db.models import QuerySet
from django.forms import ModelForm
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
from common.http import build_actor, get_admin_request

M = TypeVar("M", bound=models.Model)

# The lists need the width: at 1280 pixels a menu would hide some of their columns.
admin.site.enable_nav_sidebar = False
admin.site.site_url = None
admin.site.empty_value_display = EMPTY_VALUE

MAX_BULK_DELETE: Final = 500
"""Rows of one deletion. The confirmation page posts a field per row; Django accepts 1,000 fields."""


def get_staff_actor(request: HttpRequest) -> Actor:
    """Return the staff member who sent a request of the admin."""
    return build_actor(request, f"user:{request.user.pk}")


def read_form_etags(form: ServiceForm[Any]) -> ETags:
    """Return the revision that the form was rendered from, as If-Match for the service.

    Saving an old form then fails, instead of undoing a change that another user made since.
    """
    return frozenset({format_etag(form.cleaned_data["revision"])})


class CappedPaginator(Paginator[Any]):
    """A paginator that counts up to `limit`: counting a million rows takes longer than the page."""

    limit: ClassVar[int] = 10_000

    @cached_property
    def _capped_count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.limit + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self._capped_count, self.limit)

    @property
    def is_capped(self) -> bool:
        """Return whether there are more rows than were counted."""
        return self._capped_count > self.limit


class RowActionsAdmin(admin.ModelAdmin[M]):
    """A list with actions on selected rows, which rejects a posted id that is invalid."""

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Return whether rows may be selected by this field: by their id alone."""
        # Django raises an unhandled error for a name that is not a column.
        return to_field == self.opts.pk.name

    def limit_selection(
        self, request: HttpRequest, queryset: QuerySet[M], max_rows: int
    ) -> list[M]:
        """Return the selected rows, or an empty list and a message if there are too many."""
        rows = list(queryset[: max_rows + 1])
        if len(rows) <= max_rows:
            return rows
        text = f"Select at most {max_rows} at once; nothing was done."
        self.message_user(request, text, messages.ERROR)
        return []

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[M], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        # Django raises an unhandled error for a posted value that is not an id.
        for id in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(id, None)
            except ValidationError:
                raise BadRequest("A selected id is invalid.") from None
        return super().response_action(request, queryset, *args, **kwargs)


class ServiceAdmin(RowActionsAdmin[M]):
    """A model admin that writes through services, and displays the errors that they raise.

    A subclass calls a service in `save_model` and `delete_model`.
    """

    add_form: ClassVar[type[ServiceForm[Any]] | None] = None
    actions: tuple[str, ...] = ("delete_selected",)
    list_per_page = 50
    ordering = ("-id",)
    paginator = CappedPaginator
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by: ClassVar[tuple[str, ...]] = ()

    def save_model(
        self, request: HttpRequest, obj: M, form: ServiceForm[Any], change: bool
    ) -> None:
        raise NotImplementedError("No service writes this.")

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        raise NotImplementedError("No service removes this.")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Return whether a filter reads this parameter. By default Django allows any column."""
        for item in self.list_filter:
            names = getattr(item, "inputs", None) or [
                getattr(item, "parameter_name", f"{item}__id__exact")
            ]
            if lookup in names:
                return True
        return False

    @property
    def has_filter_form(self) -> bool:
        """Return whether a filter is a menu or a text input, which a button applies."""
        classes = (MenuFilter, TextInputFilter)
        return any(
            isinstance(item, type) and issubclass(item, classes) for item in self.list_filter
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        """Return the row with the id `search_term`, or the rows that match in `search_fields`."""
        row = self.filter_by_id(queryset, search_term)
        if row is not None:
            return row, False
        return super().get_search_results(request, queryset, search_term)

    def filter_by_id(self, queryset: QuerySet[M], text: str) -> QuerySet[M] | None:
        """Return the row of `queryset` with the id `text`, or None if there is none."""
        id = parse_id(text)
        row = queryset.filter(pk=id) if id else queryset.none()
        return row if row.exists() else None

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[M]]:
        if obj is None and self.add_form is not None:
            kwargs["form"] = self.add_form
        form = super().get_form(request, obj, change, **kwargs)
        error = getattr(request, "service_error", None)
        cast(type[ServiceForm[M]], form).service_error = error
        return form

    @method_decorator(sensitive_post_parameters())
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ServiceError as error:
            # The transaction was rolled back. Display the same form with the error.
            get_admin_request(request).service_error = error
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
        """Render the form with the object's name as the title, and one button to add an object."""
        context |= {"show_save_and_add_another": False}
        if obj is not None:
            context |= {"title": str(obj), "subtitle": None}
        else:
            context |= {"show_save_and_continue": False}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ServiceError as error:
            self.message_user(request, error.detail, messages.ERROR)
            page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return HttpResponseRedirect(reverse(page, args=[object_id]))

    def get_deleted_objects(
        self, objs: Sequence[M] | QuerySet[M], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return the rows themselves, without what refers to them."""
        # The service decides what happens to the objects that refer to a row, perhaps a million.
        names = [f"{capfirst(self.opts.verbose_name)}: {row} [{row.pk}]" for row in objs]
        return names, {str(self.opts.verbose_name_plural): len(names)}, set(), []

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[M]) -> HttpResponse | None:
        rows = self.limit_selection(request, queryset, MAX_BULK_DELETE)
        if not rows:
            return None
        if not request.POST.get("post"):
            return render_delete_confirmation(self, request, queryset)
        errors = [self._delete_one(request, row) for row in rows]
        if count := errors.count(None):
            name = model_ngettext(self.opts, count)
            self.message_user(request, f"Deleted {count} {name}.", messages.SUCCESS)
        for error in filter(None, errors):
            self.message_user(request, error, messages.ERROR)
        return None

    def _delete_one(self, request: HttpRequest, row: M) -> str | None:
        """Delete one row. Return why that failed, or None."""
        name = str(row)
        try:
            with transaction.atomic():
                self.log_deletions(request, [row])  # type: ignore[arg-type]
                self.delete_model(request, row)
        except ServiceError as error:
            return f"{name}: {error.detail}"
        return None


def parse_id(text: str) -> uuid.UUID | None:
    """Return the UUID in `text`, in any case, with or without hyphens, or None."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None
