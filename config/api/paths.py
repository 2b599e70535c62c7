"""The paths of the API, where errors are JSON and no middleware for browsers runs."""

from __future__ import annotations

_PREFIXES = ("/v1/", "/api/", "/link/oauth2/token")


def is_api_path(path: str) -> bool:
    """Return whether `path` belongs to the API. RequestContextMiddleware asks once per request."""
    return path.startswith(_PREFIXES) or path in {"/v1", "/api"}


def has_plain_errors(path: str) -> bool:
    """Return whether errors have the shape of the metadata API: `{"error": "…"}`."""
    return path.startswith("/api")
