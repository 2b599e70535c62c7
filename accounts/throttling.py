"""The rate limit of a view, which it declares by name: `rate_limits = {"POST": "reveal"}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.rate_limits import consume_address_quota, consume_token_quota
from common.actors import Principal
from common.http import get_http_request

if TYPE_CHECKING:
    # The settings import this module while rest_framework.views is being imported.
    from rest_framework.views import APIView


class RateLimitThrottle(BaseThrottle):
    """Counts a call after its token was authenticated, and before its body is read."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Return True. Raises TooManyRequestsError instead of returning False."""
        limits: dict[str, str] = getattr(view, "rate_limits", {})
        name = limits.get(request.method or "")
        if name is None:
            return True
        if isinstance(request.user, Principal):
            consume_token_quota(get_http_request(request), request.user, name)
        else:
            consume_address_quota(get_http_request(request), name)
        return True
