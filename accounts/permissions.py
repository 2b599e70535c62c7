from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from common.actors import Principal
from common.errors import ForbiddenError, UnauthenticatedError
from common.scopes import ANY, PUBLIC

if TYPE_CHECKING:
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """The permission of a token with the scope that the view declares for the method.

    A view declares `scopes = {"GET": "credentials:read", …}`, or a scope per action if one method has
    several actions. Raises UnauthenticatedError (401) or ForbiddenError (403, with the scope).
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        scope = get_required_scope(view, request.method or "")
        if scope == PUBLIC:
            return True
        if not isinstance(request.user, Principal):
            raise UnauthenticatedError("An Authorization header with a bearer token is required.")
        if scope not in {ANY, *request.user.scopes}:
            raise ForbiddenError(
                f"This needs a token with the scope {scope}.", extra={"missing_scope": scope}
            )
        return True


def get_required_scope(view: APIView, method: str) -> str:
    """Return the scope that `view` declares for `method`; for HEAD that of GET."""
    scopes: dict[str, str] = getattr(view, "scopes", {})
    action = getattr(view, "action", None)
    key = action if action in scopes else {"HEAD": "GET"}.get(method, method)
    if key in scopes:
        return scopes[key]
    if method.lower() in view.http_method_names and hasattr(view, method.lower()):
        raise ImproperlyConfigured(f"{type(view).__name__} declares no scope for {method}.")
    raise MethodNotAllowed(method)
