"""The OAuth apps of claimed grants, read once a second instead of once for every grant."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Final

from credentials.refresh.types import RefreshClaim
from oauth_apps.models import OAuthApp

CACHE_SECONDS: Final = 1.0
"""A change of an app takes effect at most this much later."""


class AppCache:
    """Apps as they were at most CACHE_SECONDS ago, with their encrypted secrets. Not thread-safe."""

    def __init__(self) -> None:
        self._apps: dict[uuid.UUID, OAuthApp] = {}
        self._expires = 0.0

    def attach_apps(self, claims: Sequence[RefreshClaim]) -> None:
        """Set the app of each claim's row, so that the call needs no query for it."""
        if time.monotonic() >= self._expires:
            self._apps, self._expires = {}, time.monotonic() + CACHE_SECONDS
        ids = {claim.row.oauth_app_id for claim in claims if claim.row.oauth_app_id is not None}
        if missing := ids - self._apps.keys():
            apps = OAuthApp.objects.select_related("refresh_pause").prefetch_related("secrets")
            self._apps.update((app.id, app) for app in apps.filter(id__in=missing))
        for row in (claim.row for claim in claims):
            if row.oauth_app_id in self._apps:
                row.oauth_app = self._apps[row.oauth_app_id]
