"""The admin's list of events, and the events of one object on the pages of other packages."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
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
"""A function that returns the names of those of the ids that exist, with one query."""

_ACTOR_NAMERS: Final[dict[str, ActorNamer]] = {}


def render_recent_events(account_id: uuid.UUID, target_id: uuid.UUID) -> SafeString:
    """Return the last events of one object as an HTML table."""
    events = _select_events(account_id, target_id)[:RECENT_EVENT_COUNT]
    return render_to_string("admin/latchkey/events.html", {"events": add_display_names(events)})


def add_display_names(events: Iterable[Event]) -> list[Event]:
    """Return the events with `actor_name`, for people, and `summary`: what changed.

    Users have their user names. Actors of a registered type have their name and their id.
    """
    rows = list(events)
    ids: dict[str, set[str]] = {}
    for row in rows:
        actor_type, _, id = row.actor.partition(":")
        ids.setdefault(actor_type, set()).add(id)
    users = User.objects.filter(pk__in=[id for id in ids.get("user", ()) if id.isdecimal()])
    names = {f"user:{pk}": name for pk, name in users.values_list("pk", "username")}
    for actor_type in ids.keys() & _ACTOR_NAMERS.keys():
        for id, name in _ACTOR_NAMERS[actor_type](ids[actor_type]).items():
            names[f"{actor_type}:{id}"] = f"“{name}” {actor_type}:{id}"
    for row in rows:
        row.actor_name = names.get(row.actor, row.actor)  # type: ignore[attr-defined]
        row.summary = format_change(row.changed, row.detail)  # type: ignore[attr-defined]
    return rows


def register_actor_namer(actor_type: str, namer: ActorNamer) -> None:
    """Let `namer` name the actors `actor_type:id`. For packages that this one may not import."""
    _ACTOR_NAMERS[actor_type] = namer


def _select_events(account_id: uuid.UUID, target_id: uuid.UUID) -> QuerySet[Event]:
    return Event.objects.filter(account_id=account_id, target_id=target_id).order_by("-id")


class EventHistoryMixin:
    """The History page of an object: its events. For a ModelAdmin whose rows belong to an account."""

    object_history_template: Any = "admin/latchkey/history.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        context: dict[str, Any] = {"title": f"History of {row}"}
        if row is not None:
            # An account has no account_id: its events are stored under its own id.
            account_id = getattr(row, "account_id", row.pk)
            events = _select_events(account_id, row.pk)[:MAX_HISTORY_EVENTS]
            context |= {"events": add_display_names(events), "most": MAX_HISTORY_EVENTS}
        context |= extra_context or {}
        response: HttpResponse = super().history_view(request, object_id, context)  # type: ignore[misc]
        return response


class VerbFilter(admin.SimpleListFilter):
    """A menu of the verbs of recent events."""

    title = "verb"
    parameter_name = "verb"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        # To find every verb, the whole table would have to be read.
        recent = Event.objects.order_by("-id").values_list("verb", flat=True)[:VERB_SAMPLE_SIZE]
        return [(verb, verb) for verb in sorted({get_current_verb(stored) for stored in recent})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        verb = self.value()
        return queryset.filter(verb__in=list_stored_verbs(verb)) if verb else queryset


@admin.register(Event)
class EventAdmin(ServiceAdmin[Event]):
    fields = (
        "id", "time", "account", "actor", "verb", "target_type", "target_id", "changed", "detail",
        "ip", "request_id",
    )  # fmt: skip
    list_display = ("when", "verb", "actor", "target_type", "target_id", "details", "ip")
    list_filter = (AccountFilter, VerbFilter)
    search_fields = ("actor",)
    search_help_text = "An actor (user:1), or the id of an object or a request."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    @admin.display(description="time (UTC)")
    def when(self, event: Event) -> str:
        return f"{event.time:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="details")
    def details(self, event: Event) -> str:
        return format_change(event.changed, event.detail)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if id := parse_id(term):
            matches = Q(target_id=id) | Q(pk=id) | Q(request_id=id.hex)
            return queryset.filter(matches), False
        return queryset.filter(actor=term), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Event | None = None) -> bool:
        return False
