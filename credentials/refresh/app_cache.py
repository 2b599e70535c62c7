"""The OAuth apps of what a worker claims, read once in a while instead of for every grant."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Final

from credentials.refresh.types import RefreshClaim
from oauth_apps.models import OAuthApp

CACHE_SECONDS: Final = 1.0
"""Seconds. A change of an app counts for claims after it, as if they had been made that much before."""


class AppCache:
    """Apps as they were at most KNOWN_FOR ago, with their sealed secrets. One thread's own."""

    def __init__(self) -> None:
        self._known: dict[uuid.UUID, OAuthApp] = {}
        self._until = 0.0

    def attach_apps(self, claims: Sequence[RefreshClaim]) -> None:
        """Give each claim's row its app, so that nothing asks the database for it before the call."""
        if time.monotonic() >= self._until:
            self._known, self._until = {}, time.monotonic() + CACHE_SECONDS
        ids = {claim.row.oauth_app_id for claim in claims if claim.row.oauth_app_id is not None}
        if new := ids - self._known.keys():
            apps = OAuthApp.objects.select_related("refresh_pause").prefetch_related("secrets")
            self._known.update((app.id, app) for app in apps.filter(id__in=new))
        for row in (claim.row for claim in claims):
            if row.oauth_app_id in self._known:
                row.oauth_app = self._known[row.oauth_app_id]
