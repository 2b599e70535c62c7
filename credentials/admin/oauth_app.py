"""The page of an OAuth app with its redirect URI and the credentials that depend on it.

It extends the page of `oauth_apps.admin`, which cannot import credentials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from common.admin.formatting import EMPTY_VALUE
from credentials.connect.models import ConnectLink, PendingGrant
from credentials.connect.settings import represent_app_settings
from credentials.models import Credential
from oauth_apps.admin import OAuthAppAdmin
from oauth_apps.models import OAuthApp
from providers.registry import get_registry

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec

MAX_COUNT: Final = 10_000
"""Counting more rows would take longer than the rest of the page."""

_OPEN_STATUSES: Final = (
    ConnectLink.Status.OPEN,
    ConnectLink.Status.OPENED,
    ConnectLink.Status.PENDING,
)
_NOT_REVOKED: Final = (
    "The provider is not notified: the client and its grants stay valid there until you end them"
    " there."
)

# oauth_apps.admin registers its own page, which this one replaces.
admin.site.unregister(OAuthApp)


@admin.register(OAuthApp)
class ConnectedOAuthAppAdmin(OAuthAppAdmin):
    readonly_fields = (*OAuthAppAdmin.readonly_fields, "callback", "dependents", "breaks")

    @admin.display(description="redirect URI to register")
    def callback(self, app: OAuthApp) -> SafeString:
        """Return the redirect URI in a box of its own, so that a triple click selects all of it."""
        provider = get_registry().providers.get(app.provider)
        if provider is None or not any(each.authorize_url for each in provider.list_oauth()):
            return EMPTY_VALUE
        address = represent_app_settings(app)["callback_url"]
        return format_html(
            '<code class="lk-token">{}</code><div class="help">{}</div>',
            address,
            "Register this redirect URI at the provider.",
        )

    @admin.display(description="credentials that depend on it")
    def dependents(self, app: OAuthApp) -> SafeString:
        text, count = count_up_to_limit(app.credentials.all())
        if not count:
            return SafeString("None.")
        page = reverse("admin:credentials_credential_changelist")
        return format_html(
            '<a href="{}?{}">{}</a>', page, urlencode({"oauth_app": str(app.pk)}), text
        )

    @admin.display(description="if it is deleted")
    def breaks(self, app: OAuthApp) -> SafeString:
        return format_html_join(
            "", "<div>{}</div>", ((line,) for line in describe_app_deletion(app))
        )

    def get_fieldsets(self, request: HttpRequest, obj: OAuthApp | None = None) -> _FieldsetSpec:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        connecting = (
            "Redirect URI to register",
            {"fields": ("callback",), "classes": ("lk-wide",)},
        )
        depending = ("Who depends on it", {"fields": ("dependents", "breaks")})
        return [*fieldsets[:2], connecting, depending, *fieldsets[2:]]

    def get_deleted_objects(
        self, objs: Sequence[OAuthApp] | QuerySet[OAuthApp], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return each app with the consequences. Protect it if it is the only one and still in use."""
        _, counts, missing, protected = super().get_deleted_objects(objs, request)
        rows: list[str] = [
            format_html("{}: {}", app, " ".join(describe_app_deletion(app))) for app in objs
        ]
        # Of several, the others can be deleted, and the service reports this one.
        if len(rows) == 1 and find_deletion_blocker(objs[0]):
            protected = [" ".join(describe_app_deletion(objs[0]))]
        return rows, counts, missing, protected


def find_deletion_blocker(app: OAuthApp) -> str:
    """Return why the app cannot be deleted now, or ""."""
    text, count = count_up_to_limit(app.credentials.all())
    if count:
        uses = "credential needs" if count == 1 else "credentials need"
        return f"{text} {uses} it to be refreshed and used."
    if PendingGrant.objects.filter(oauth_app=app).exists():
        return "a connection with it is in progress."
    return ""


def describe_app_deletion(app: OAuthApp) -> list[str]:
    """Return sentences about a deletion. The first says whether it is possible."""
    links, open_links = count_up_to_limit(
        ConnectLink.objects.filter(oauth_app=app, status__in=_OPEN_STATUSES)
    )
    sentences = ["It can be deleted: no credential depends on it."]
    if blocker := find_deletion_blocker(app):
        sentences = [
            f"It cannot be deleted now: {blocker}"
            " Before that, move what depends on it to another app of the same provider, or delete it."
        ]
    if open_links:
        stop = "open connect link stops" if open_links == 1 else "open connect links stop"
        sentences.append(f"Without it {links} {stop} working.")
    return [*sentences, _NOT_REVOKED]


def count_up_to_limit(rows: QuerySet[Credential] | QuerySet[ConnectLink]) -> tuple[str, int]:
    """Return the number of rows as text and as a number. Counts no more than MAX_COUNT."""
    count = rows.order_by()[: MAX_COUNT + 1].count()
    return (f"more than {MAX_COUNT:,}" if count > MAX_COUNT else f"{count:,}"), count
