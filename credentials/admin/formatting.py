"""What the page of a credential shows that is no column of it."""

from __future__ import annotations

from typing import Final

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin.formatting import EMPTY_VALUE, format_badge, format_relative_time
from credentials.health.models import HealthChange
from credentials.models import Credential
from credentials.services.mark_reauth import MARKED_BY_STAFF
from providers.registry import get_registry

MAX_CHANGES: Final = 20
_MARKED_HERE: Final = "Marked here for reconnection: the owner has to connect again."
_STATES: Final = {
    "needs_reauth": "The provider refuses the grant: the owner has to connect again.",
    "paused": "Paused: its seal does not open with the keys that there are.",
}


def render_health_changes(credential: Credential) -> SafeString:
    """The last changes of its status, newest first, and what each rested on."""
    changes = HealthChange.objects.filter(
        account_id=credential.account_id, target_id=credential.pk
    ).order_by("-id")
    return render_to_string(
        "admin/latchkey/health_changes.html", {"changes": changes[:MAX_CHANGES]}
    )


def render_refresh_state(credential: Credential) -> SafeString:
    """How its access token is kept fresh, in a sentence."""
    kind = get_registry().get_kind(credential.kind)
    if kind is None or not kind.refreshes:
        return SafeString("This kind is not refreshed.")
    if said := _STATES.get(credential.refresh_state):
        marked = credential.refresh_error == MARKED_BY_STAFF
        return format_html("{} {}", format_badge("error"), _MARKED_HERE if marked else said)
    parts = [
        format_html("{} {}", title, format_relative_time(moment))
        for title, moment in (
            ("last refreshed", credential.refresh_last_at),
            ("next", credential.refresh_next_at),
        )
        if moment
    ]
    if credential.refresh_error:
        parts.append(format_html("last error: {}", credential.refresh_error))
    return SafeString(", ".join(parts)) if parts else EMPTY_VALUE
