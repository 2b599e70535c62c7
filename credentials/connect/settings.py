"""What a company chose for connecting, of one OAuth app or of the account."""

from __future__ import annotations

import uuid
from typing import Any, Final, TypedDict

from django.db import transaction

from common.actors import Actor
from common.db.clock import DbNow
from common.errors import InvalidInputError
from credentials.connect.flow_request import get_provider
from credentials.connect.links_and_callbacks import build_callback_url
from credentials.connect.models import ConnectSettings
from events.services import EventTarget, record_event
from oauth_apps.models import OAuthApp
from oauth_apps.validation import check_redirect_uris


class SettingsChanges(TypedDict, total=False):
    return_urls: list[str]
    completes_itself: bool
    short_callback: bool


_DEFAULTS: Final = ConnectSettings()


def get_account_settings(account_id: uuid.UUID) -> ConnectSettings:
    """The account's own choices, for links without an OAuth app."""
    rows = ConnectSettings.objects.filter(account_id=account_id, oauth_app=None)
    return rows.first() or _DEFAULTS


def get_app_settings(app: OAuthApp) -> ConnectSettings:
    return ConnectSettings.objects.filter(oauth_app=app).first() or _DEFAULTS


def get_connect_settings(account_id: uuid.UUID, app: OAuthApp | None) -> ConnectSettings:
    return get_app_settings(app) if app else get_account_settings(account_id)


def get_return_urls(account_id: uuid.UUID, app: OAuthApp | None) -> list[str]:
    """Where the company lets people be sent back to, at this moment."""
    found: list[str] = app.redirect_uris if app else get_account_settings(account_id).return_urls
    return found


def settings_update(
    *, account_id: uuid.UUID, app: OAuthApp | None, actor: Actor, changes: SettingsChanges
) -> ConnectSettings:
    """Apply what differs, with an event. Raises Invalid for what this app or the account cannot have."""
    check_redirect_uris(changes.get("return_urls", []))
    if changes.get("short_callback") and app is not None:
        _check_one_issuer(app)
    with transaction.atomic():
        # Made first where there is none: of two who choose for the first time, one waits.
        ConnectSettings.objects.bulk_create(
            [ConnectSettings(account_id=account_id, oauth_app=app)], ignore_conflicts=True
        )
        rows = ConnectSettings.objects.select_for_update()
        row = rows.get(account_id=account_id, oauth_app=app)
        differing = [name for name, value in changes.items() if getattr(row, name) != value]
        for name, value in changes.items():
            setattr(row, name, value)
        if differing:
            row.updated_at = DbNow()
            row.save()
            target, id = ("oauth_app", app.id) if app else ("account", account_id)
            changed = [f"connect.{name}" for name in differing]
            record_event(actor, EventTarget(target, account_id, id), f"{target}.updated", changed)
    return row


def represent_app_settings(app: OAuthApp) -> dict[str, Any]:
    row = get_app_settings(app)
    return {
        "completes_itself": row.completes_itself,
        "short_callback": row.short_callback,
        "callback_url": build_callback_url(app, short=row.short_callback),
    }


def represent_account_settings(account_id: uuid.UUID) -> dict[str, Any]:
    row = get_account_settings(account_id)
    return {"return_urls": row.return_urls, "completes_itself": row.completes_itself}


def uses_short_callback(app: OAuthApp) -> bool:
    return get_app_settings(app).short_callback


def _check_one_issuer(app: OAuthApp) -> None:
    """One redirect URI for several issuers would let one answer for another (RFC 9700 §4.4)."""
    oauth = get_provider(app.provider).oauth
    if oauth is None or "{" in f"{oauth.authorize_url}{oauth.token_url}":
        raise InvalidInputError.for_field(
            "short_callback",
            f"{app.provider} has an issuer for each customer, so each app has its own",
        )
