"""Types of the requests that pass through config.middleware, and what views read of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.http import HttpRequest
from rest_framework.request import Request

from common.actors import Actor, Principal

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from common.errors import ServiceError


class LatchkeyRequest(HttpRequest):
    """A request with the attributes that RequestContextMiddleware sets.

    `client_ip` is None if no address could be read. `is_api` says whether errors are JSON.
    `rate_limit_headers` are those of the limit that the response is nearest to, if it has any, and
    `rate_limit_remaining` is what is left of it.
    """

    request_id: str
    client_ip: str | None
    is_api: bool
    rate_limit_headers: dict[str, str]
    rate_limit_remaining: int | None


class AdminRequest(LatchkeyRequest):
    """A request of a staff page.

    `service_error` is what a service raised for the submitted form. `new_secret` is the secret of
    a new object, for the page that displays it once.
    """

    user: User
    service_error: ServiceError | None
    new_secret: str


def get_http_request(request: Request) -> LatchkeyRequest:
    """Return Django's request, which DRF's `request` wraps."""
    return cast(LatchkeyRequest, request._request)


def get_admin_request(request: HttpRequest) -> AdminRequest:
    """Return `request` as a request of a staff page, to read or set its attributes."""
    # Django's own methods of ModelAdmin do not allow a narrower type for their argument.
    return cast(AdminRequest, request)


def build_actor(request: HttpRequest | Request, name: str) -> Actor:
    """Return the actor `name`, with the id and address of `request` for the audit log."""
    http = request._request if isinstance(request, Request) else request
    latchkey = cast(LatchkeyRequest, http)
    return Actor(name=name, request_id=latchkey.request_id, ip=latchkey.client_ip)


def get_principal(request: Request) -> Principal:
    """Return the authenticated caller. Raise TypeError on a public view, which has none."""
    principal: object = request.user
    if not isinstance(principal, Principal):
        raise TypeError("A public view has no authenticated caller.")
    return principal
