"""The permissions of each group of staff in the admin. The migrations put them into the database.

They are written `<app>.<codename>`, as Django does. Only superusers manage users, groups and devices.
"""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

VIEWER: Final = frozenset(
    {
        "accounts.view_account",
        "connect.view_authorizationattempt",
        "connect.view_connectlink",
        "credentials.view_credential",
        "events.view_event",
        "oauth_apps.view_oauthapp",
        "providers.view_customprovider",
        "webhooks.view_webhookdelivery",
        "webhooks.view_webhookendpoint",
    }
)
OPERATOR: Final = VIEWER | {
    "connect.add_connectlink",
    "connect.delete_connectlink",
    "credentials.add_credential",
    "credentials.change_credential",
    "credentials.delete_credential",
    "credentials.export_credential",
    "credentials.import_credential",
    "credentials.rotate_credential",
    "credentials.use_credential",
}
CUSTODIAN: Final = OPERATOR | {
    "accounts.add_apitoken",
    "accounts.change_apitoken",
    "accounts.delete_session",
    "accounts.mint_apitoken",
    "accounts.view_apitoken",
    "accounts.view_session",
    "credentials.reveal_credential",
    "oauth_apps.add_oauthapp",
    "oauth_apps.change_oauthapp",
    "oauth_apps.delete_oauthapp",
    "providers.add_customprovider",
    "providers.change_customprovider",
    "webhooks.add_webhookendpoint",
    "webhooks.change_webhookdelivery",
    "webhooks.change_webhookendpoint",
    "webhooks.delete_webhookendpoint",
}
PERMISSIONS: Final = {"Viewer": VIEWER, "Operator": OPERATOR, "Custodian": CUSTODIAN}


def reset_groups() -> None:
    """Give each group exactly the permissions of PERMISSIONS, for a database in which they were changed."""
    for name, labels in PERMISSIONS.items():
        matches = Q()
        for label in labels:
            app, _, codename = label.partition(".")
            matches |= Q(content_type__app_label=app, codename=codename)
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(Permission.objects.filter(matches))
