"""Values on the page of a credential that are not columns of its row."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ObjectDoesNotExist
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin.formatting import (
    EMPTY_VALUE,
    format_badge,
    format_health,
    format_minute,
    format_relative_time,
)
from common.db.clock import db_now
from credentials.core.displayed_health import add_doubt_note, get_displayed_health
from credentials.core.grant_state import NEEDS_REAUTH, PAUSED, get_app_pause, get_grant
from credentials.core.refresh_state import is_in_doubt
from credentials.health.models import HealthChange
from credentials.models import Credential
from credentials.services.mark_reauth import MARKED_BY_STAFF
from providers.registry import get_registry

MAX_CHANGES: Final = 20
_STATES: Final = {
    NEEDS_REAUTH: "The provider rejects the grant: the owner has to connect again.",
    PAUSED: "Paused: the secrets cannot be decrypted with the keys of this server.",
}


def render_health_badge(credential: Credential) -> SafeString:
    """Return the status that the API shows."""
    return format_badge(get_displayed_health(credential)["status"])


def render_health(credential: Credential) -> SafeString:
    """Return the health that the API shows, with its notes."""
    health = get_displayed_health(credential)
    if is_in_doubt(get_grant(credential), db_now()):
        health = add_doubt_note(health)
    return format_health(health)


def render_health_changes(credential: Credential) -> SafeString:
    """Return the latest changes of the status, newest first, with the evidence for each."""
    changes = HealthChange.objects.filter(
        account_id=credential.account_id, target_id=credential.pk
    ).order_by("-id")
    return render_to_string(
        "admin/latchkey/health_changes.html", {"changes": changes[:MAX_CHANGES]}
    )


def render_last_use(credential: Credential) -> SafeString:
    """Return how long ago the credential was used."""
    try:
        return format_relative_time(credential.use.last_used_at)
    except ObjectDoesNotExist:
        # The row of uses is created by the first use.
        return SafeString('<span class="lk-none">never</span>')


def render_refresh_state(credential: Credential) -> SafeString:
    """Return in one sentence when the access token was and will be refreshed, or why it is not."""
    kind = get_registry().get_kind(credential.kind)
    if kind is None or not kind.refreshes:
        return SafeString("This kind is not refreshed.")
    grant = get_grant(credential)
    if sentence := _STATES.get(grant.state):
        # The provider did not reject this grant, so its page must not say so.
        if grant.error == MARKED_BY_STAFF:
            sentence = "Marked here for reconnection: the owner has to connect again."
        return format_html("{} {}", format_badge("error"), sentence)
    if pause := get_app_pause(credential.oauth_app, db_now()):
        return format_html(
            "{} Paused until {}: the provider rejects the OAuth app. Credential {} was rejected first.",
            format_badge("warn"),
            format_minute(pause.until),
            pause.credential_id,
        )
    parts = [
        format_html("{} {}", title, format_relative_time(time))
        for title, time in (
            ("last refreshed", grant.last_at),
            ("next", grant.next_at),
        )
        if time
    ]
    if is_in_doubt(grant, db_now()):
        parts.append(SafeString("in doubt: the outcome of the last refresh is unknown"))
    if grant.error:
        parts.append(format_html("last error: {}", grant.error))
    return SafeString(", ".join(parts)) if parts else EMPTY_VALUE
