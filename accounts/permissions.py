from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from common.actors import Principal
from common.errors import ForbiddenError, UnauthenticatedError
from common.scopes import ANY, PUBLIC


class HasScope(BasePermission):
    """Lets a request pass whose token has the scope that the view states for the method.

    A view states `scopes = {"GET": "credentials:read", …}`, or per action where one method serves
    several. Raises Unauthenticated (401) or Forbidden (403, naming the scope).
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = get_required_scope(view, request.method or "")
        if needed == PUBLIC:
            return True
        if not isinstance(request.user, Principal):
            raise UnauthenticatedError("An Authorization header with a bearer token is required.")
        if needed not in {ANY, *request.user.scopes}:
            raise ForbiddenError(
                f"This needs a token with the scope {needed}.", extra={"missing_scope": needed}
            )
        return True


def get_required_scope(view: Any, method: str) -> str:
    """The scope that `view` states for `method`. HEAD follows GET."""
    stated: dict[str, str] = getattr(view, "scopes", {})
    action = getattr(view, "action", None)
    key = action if action in stated else {"HEAD": "GET"}.get(method, method)
    if key in stated:
        return stated[key]
    if method.lower() in view.http_method_names and hasattr(view, method.lower()):
        raise ImproperlyConfigured(f"{type(view).__name__} states no scope for {method}.")
    raise MethodNotAllowed(method)
