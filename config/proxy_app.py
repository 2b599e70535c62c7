"""The proxy, with what this project's own requests have: addresses of callers, and the shape of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from config.api.errors import build_error_response
from config.middleware import get_client_ip
from credentials.proxy.wsgi import Proxy
from egress import Client


def build_proxy(client: Client) -> Proxy:
    return Proxy(client=client, client_ip=_client_ip, refuse=_refuse)


def _request(environ: Mapping[str, Any], path: str = "", request_id: str = "") -> HttpRequest:
    """What the project's own functions look at of a request."""
    request: Any = HttpRequest()
    request.META = dict(environ)
    request.path = path
    request.request_id = request_id
    found: HttpRequest = request
    return found


def _client_ip(environ: Mapping[str, Any]) -> str | None:
    return get_client_ip(_request(environ))


def _refuse(
    path: str, request_id: str, error: Exception
) -> tuple[int, list[tuple[str, str]], bytes]:
    # The short route is of the API that has its errors in one line.
    shape = f"/api{path}" if path.startswith("/proxy/") else path
    response = build_error_response(_request({}, shape, request_id), error)
    headers = [*response.items(), ("Content-Length", str(len(response.content)))]
    return response.status_code, headers, response.content
