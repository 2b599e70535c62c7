"""What the page of an OAuth app shows of the rooms above it: who depends on it, and where it is called.

The app's own page is `oauth_apps.admin`'s; this adds to it what that room may not import.
"""

from __future__ import annotations

from typing import Any, Final
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

COUNTED: Final = 10_000
"""How far the dependents of one app are counted: a page waits for no more."""

_LIVE: Final = (
    ConnectLink.Status.OPEN,
    ConnectLink.Status.OPENED,
    ConnectLink.Status.PENDING,
)
_NOT_TOLD: Final = (
    "The provider is told nothing: the client, and the grants made with it, live there until they"
    " are ended there."
)

admin.site.unregister(OAuthApp)


@admin.register(OAuthApp)
class ConnectedOAuthAppAdmin(OAuthAppAdmin):
    readonly_fields = (*OAuthAppAdmin.readonly_fields, "callback", "dependents", "breaks")

    @admin.display(description="redirect URI to register")
    def callback(self, app: OAuthApp) -> SafeString:
        """One line in a box of its own: a triple click takes it whole, without a script."""
        provider = get_registry().providers.get(app.provider)
        if provider is None or provider.oauth is None:
            return EMPTY_VALUE
        address = represent_app_settings(app)["callback_url"]
        return format_html(
            '<code class="lk-token">{}</code><div class="help">{}</div>',
            address,
            "Register it at the provider.",
        )

    @admin.display(description="credentials that depend on it")
    def dependents(self, app: OAuthApp) -> SafeString:
        shown, count = count_capped(app.credentials.all())
        if not count:
            return SafeString("None.")
        page = reverse("admin:credentials_credential_changelist")
        return format_html(
            '<a href="{}?{}">{}</a>', page, urlencode({"oauth_app": str(app.pk)}), shown
        )

    @admin.display(description="if it is deleted")
    def breaks(self, app: OAuthApp) -> SafeString:
        return format_html_join(
            "", "<div>{}</div>", ((said,) for said in describe_app_deletion(app))
        )

    def get_fieldsets(self, request: HttpRequest, obj: OAuthApp | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if obj is None:
            return found
        connecting = (
            "Redirect URI to register",
            {"fields": ("callback",), "classes": ("lk-wide",)},
        )
        depending = ("Who depends on it", {"fields": ("dependents", "breaks")})
        return [*found[:2], connecting, depending, *found[2:]]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Each app with what goes with it, or what keeps it; a single one that is kept is protected."""
        _, counts, missing, protected = super().get_deleted_objects(objs, request)
        rows = [format_html("{}: {}", app, " ".join(describe_app_deletion(app))) for app in objs]
        if len(rows) == 1 and deletion_blocker(objs[0]):
            protected = [" ".join(describe_app_deletion(objs[0]))]
        return rows, counts, missing, protected


def deletion_blocker(app: OAuthApp) -> str:
    """What needs it, so that it cannot be deleted now; or ""."""
    shown, count = count_capped(app.credentials.all())
    if count:
        uses = "credential needs" if count == 1 else "credentials need"
        return f"{shown} {uses} it to be refreshed and used."
    if PendingGrant.objects.filter(oauth_app=app).exists():
        return "a connection is under way with it."
    return ""


def describe_app_deletion(app: OAuthApp) -> list[str]:
    """What deleting it would do, in sentences; the first says whether it can be deleted at all."""
    links, open_links = count_capped(ConnectLink.objects.filter(oauth_app=app, status__in=_LIVE))
    said = ["It can be deleted: no credential depends on it."]
    if kept := deletion_blocker(app):
        said = [
            f"It cannot be deleted now: {kept}"
            " What depends on it goes first: to another app of the same provider, or away."
        ]
    if open_links:
        stop = "open connect link stops" if open_links == 1 else "open connect links stop"
        said.append(f"Without it {links} {stop} working.")
    return [*said, _NOT_TOLD]


def count_capped(rows: QuerySet[Credential] | QuerySet[ConnectLink]) -> tuple[str, int]:
    """How many there are, as shown and as counted: no further than COUNTED."""
    count = rows.order_by()[: COUNTED + 1].count()
    return (f"more than {COUNTED:,}" if count > COUNTED else f"{count:,}"), count
