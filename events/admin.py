"""The trail, to be read; and the part of it that another room's page shows of one object."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from common.admin.filters import AccountFilter
from common.admin.model_admin import ServiceAdmin, parse_id
from common.admin.pagination import KeysetChangeList
from events.formatting import format_change
from events.models import Event
from events.verbs import get_current_verb, list_stored_verbs

RECENT_EVENT_COUNT: Final = 20
VERB_SAMPLE_SIZE: Final = 5_000
MAX_HISTORY_EVENTS: Final = 500

ActorNamer = Callable[[set[str]], Mapping[str, str]]
"""The names, by id, of those of the ids that it knows, in one query."""

_NAMERS: Final[dict[str, ActorNamer]] = {}


def render_recent_events(account_id: uuid.UUID, target_id: uuid.UUID) -> SafeString:
    """The last events of one object, as a table."""
    events = _events(account_id, target_id)[:RECENT_EVENT_COUNT]
    return render_to_string("admin/latchkey/events.html", {"events": add_display_names(events)})


def add_display_names(events: Iterable[Event]) -> list[Event]:
    """The events, each with its actor as people know it in `actor_name`, and `said`: what changed.

    Users go by their names; the actors that another room names keep their ids beside the name.
    """
    rows = list(events)
    names = _actor_names({row.actor for row in rows})
    for row in rows:
        row.actor_name = names.get(row.actor, row.actor)  # type: ignore[attr-defined]
        row.said = format_change(row.changed, row.detail)  # type: ignore[attr-defined]
    return rows


def register_actor_namer(sort: str, namer: ActorNamer) -> None:
    """Have `namer` name the actors `sort:id`, for a room above this one."""
    _NAMERS[sort] = namer


def _actor_names(actors: set[str]) -> dict[str, str]:
    ids: dict[str, set[str]] = {}
    for actor in actors:
        sort, _, id = actor.partition(":")
        ids.setdefault(sort, set()).add(id)
    users = User.objects.filter(pk__in=[id for id in ids.get("user", ()) if id.isdecimal()])
    names = {f"user:{pk}": name for pk, name in users.values_list("pk", "username")}
    for sort in ids.keys() & _NAMERS.keys():
        found = _NAMERS[sort](ids[sort])
        names |= {f"{sort}:{id}": f"“{name}” {sort}:{id}" for id, name in found.items()}
    return names


def _events(account_id: uuid.UUID, target_id: uuid.UUID) -> QuerySet[Event]:
    return Event.objects.filter(account_id=account_id, target_id=target_id).order_by("-id")


class EventHistoryMixin:
    """For a ModelAdmin whose rows have an account: an object's History page shows its events."""

    object_history_template: Any = "admin/latchkey/history.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        found = self.get_object(request, object_id)  # type: ignore[attr-defined]
        more: dict[str, Any] = {"title": f"History of {found}"}
        if found is not None:
            # An account is its own.
            account_id = getattr(found, "account_id", found.pk)
            events = _events(account_id, found.pk)[:MAX_HISTORY_EVENTS]
            more |= {"events": add_display_names(events), "most": MAX_HISTORY_EVENTS}
        return super().history_view(request, object_id, {**more, **(extra_context or {})})  # type: ignore[misc]


class VerbFilter(admin.SimpleListFilter):
    """Offers the verbs that occurred lately: to find every verb, the whole table would be read."""

    title = "verb"
    parameter_name = "verb"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        lately = Event.objects.order_by("-id").values_list("verb", flat=True)[:VERB_SAMPLE_SIZE]
        return [(verb, verb) for verb in sorted({get_current_verb(stored) for stored in lately})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        verb = self.value()
        return queryset.filter(verb__in=list_stored_verbs(verb)) if verb else queryset


@admin.register(Event)
class EventAdmin(ServiceAdmin[Event]):
    fields = (
        "id", "time", "account", "actor", "verb", "target_type", "target_id", "changed", "detail",
        "ip", "request_id",
    )  # fmt: skip
    list_display = ("when", "verb", "actor", "target_type", "target_id", "said", "ip")
    list_filter = (AccountFilter, VerbFilter)
    search_fields = ("actor",)
    search_help_text = "An actor (user:1), or the id of an object or a request."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    @admin.display(description="time (UTC)")
    def when(self, event: Event) -> str:
        return f"{event.time:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="details")
    def said(self, event: Event) -> str:
        return format_change(event.changed, event.detail)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if id := parse_id(term):
            found = Q(target_id=id) | Q(pk=id) | Q(request_id=id.hex)
            return queryset.filter(found), False
        return queryset.filter(actor=term), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return False
