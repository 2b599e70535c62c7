"""The settings of connecting, of one OAuth app or of the account."""

from __future__ import annotations

import uuid
from typing import Any, Final, TypedDict

from django.db import transaction

from common.actors import Actor
from common.db.clock import DbNow
from common.errors import InvalidInputError
from credentials.connect.links_and_callbacks import build_callback_url
from credentials.connect.models import ConnectSettings
from events.services import EventTarget, record_event
from oauth_apps.client_config import has_one_issuer
from oauth_apps.models import OAuthApp
from oauth_apps.validation import check_redirect_uris


class SettingsChanges(TypedDict, total=False):
    return_urls: list[str]
    completes_itself: bool
    short_callback: bool


_DEFAULTS: Final = ConnectSettings()


def get_account_settings(account_id: uuid.UUID) -> ConnectSettings:
    """Return the settings for links without an OAuth app."""
    rows = ConnectSettings.objects.filter(account_id=account_id, oauth_app=None)
    return rows.first() or _DEFAULTS


def get_app_settings(app: OAuthApp) -> ConnectSettings:
    return ConnectSettings.objects.filter(oauth_app=app).first() or _DEFAULTS


def get_connect_settings(account_id: uuid.UUID, app: OAuthApp | None) -> ConnectSettings:
    return get_app_settings(app) if app else get_account_settings(account_id)


def get_return_urls(account_id: uuid.UUID, app: OAuthApp | None) -> list[str]:
    """Return the addresses to which the company currently lets users be sent back."""
    urls: list[str] = app.redirect_uris if app else get_account_settings(account_id).return_urls
    return urls


def settings_update(
    *, account_id: uuid.UUID, app: OAuthApp | None, actor: Actor, changes: SettingsChanges
) -> ConnectSettings:
    """Store the changes of the app, or of the account if `app` is None, and record an event.

    Raises InvalidInputError for a setting that this app or the account cannot have.
    """
    check_redirect_uris(changes.get("return_urls", []))
    # Behind a shared redirect URI, one issuer's response could pass for another's (RFC 9700 §4.4).
    if changes.get("short_callback") and app is not None and not has_one_issuer(app):
        raise InvalidInputError.for_field(
            "short_callback",
            f"{app.provider} has a separate issuer for each customer,"
            " so each app needs its own redirect URI",
        )
    with transaction.atomic():
        # The row is created first, so that concurrent first updates wait for each other's lock.
        ConnectSettings.objects.bulk_create(
            [ConnectSettings(account_id=account_id, oauth_app=app)], ignore_conflicts=True
        )
        rows = ConnectSettings.objects.select_for_update()
        row = rows.get(account_id=account_id, oauth_app=app)
        changed = [name for name, value in changes.items() if getattr(row, name) != value]
        if changed:
            for name, value in changes.items():
                setattr(row, name, value)
            row.updated_at = DbNow()
            row.save()
            target = (
                EventTarget("oauth_app", account_id, app.id)
                if app
                else EventTarget("account", account_id, account_id)
            )
            record_event(
                actor, target, f"{target.type}.updated", [f"connect.{name}" for name in changed]
            )
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
