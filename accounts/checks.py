"""A system check: the process does not start if a view of the API declares no scope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from common.scopes import ALL, ANY, PUBLIC


def check_scopes(**_: Any) -> list[CheckMessage]:
    """Return an error for each method of each view that declares no known scope."""
    return [
        Error(
            f"{view.__name__} declares no scope for {method.upper()} ({route}).",
            hint='Add it to the view\'s scopes, for example {"GET": "credentials:read"}.',
            id="accounts.E001",
        )
        for route, view, methods in iter_api_views()
        for method, action in methods.items()
        if get_declared_scope(view, method, action) not in {*ALL, ANY, PUBLIC}
    ]


def get_declared_scope(view: type[APIView], method: str, action: str) -> str | None:
    """Return the scope that `view` declares for `action`, or else for `method`."""
    scopes: dict[str, str] = getattr(view, "scopes", {})
    return scopes.get(action) or scopes.get("GET" if method == "head" else method.upper())


def iter_api_views() -> Iterator[tuple[str, type[APIView], dict[str, str]]]:
    """Yield every route of the API: (route, view class, {method in lower case: action})."""
    for route, callback in _iter_callbacks(get_resolver().url_patterns, ""):
        view = getattr(callback, "cls", None)
        if view is not None and issubclass(view, APIView):
            plain = {m: m for m in view.http_method_names if hasattr(view, m) and m != "options"}
            yield route, view, getattr(callback, "actions", None) or plain


def _iter_callbacks(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _iter_callbacks(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback
