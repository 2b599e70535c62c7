"""What an endpoint can be told of. The types are the API's: one that was published stays."""

from __future__ import annotations

from typing import Final

EVENT_TYPES: Final = (
    "credential.created",
    "credential.updated",
    "credential.deleted",
    "credential.refreshed",
    "credential.health_changed",
    "oauth_app.created",
    "oauth_app.updated",
    "oauth_app.deleted",
    "oauth_app.health_changed",
)
