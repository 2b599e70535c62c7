"""Everything that can happen to a credential. Credentials are written by these functions only.

Each is keyword-only, opens its own transaction and records its event in it. What the worker does by
itself is in `credentials.refresh`, `credentials.probing` and `credentials.revocation`.
"""

from credentials.services.change_app import credential_change_app
from credentials.services.crud import (
    CredentialChanges,
    credential_delete,
    credential_import,
    credential_update,
)
from credentials.services.custom_providers import custom_provider_create, custom_provider_update
from credentials.services.hold import credential_hold, credentials_hold
from credentials.services.leak_search import credential_find_by_secret
from credentials.services.mark_reauth import credential_mark_for_reconnection
from credentials.services.properties import credential_update_properties
from credentials.services.reveal import credential_reveal
from credentials.services.rotate import credential_rotate

__all__ = [
    "CredentialChanges",
    "credential_change_app",
    "credential_delete",
    "credential_find_by_secret",
    "credential_hold",
    "credential_import",
    "credential_mark_for_reconnection",
    "credential_reveal",
    "credential_rotate",
    "credential_update",
    "credential_update_properties",
    "credentials_hold",
    "custom_provider_create",
    "custom_provider_update",
]
