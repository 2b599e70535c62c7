"""The proxy's WSGI application with the project's own client addresses and error responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.http import HttpRequest

from common.http import LatchkeyRequest
from config.api.errors import build_error_response
from config.middleware import get_client_ip
from credentials.proxy.wsgi import Proxy
from egress import Client


def build_proxy(client: Client) -> Proxy:
    """Return the proxy that sends its requests with `client`."""
    return Proxy(client=client, client_ip=_get_client_ip, refuse=_build_error_response)


def _build_request(environ: Mapping[str, Any], path: str = "", request_id: str = "") -> HttpRequest:
    """Return a request with what get_client_ip and build_error_response read."""
    request = cast(LatchkeyRequest, HttpRequest())
    request.META = dict(environ)
    request.path = path
    request.request_id = request_id
    return request


def _get_client_ip(environ: Mapping[str, Any]) -> str | None:
    return get_client_ip(_build_request(environ))


def _build_error_response(
    path: str, request_id: str, error: Exception
) -> tuple[int, list[tuple[str, str]], bytes]:
    # The short route belongs to the metadata API, which has errors of one line.
    path = f"/api{path}" if path.startswith("/proxy/") else path
    response = build_error_response(_build_request({}, path, request_id), error)
    headers = [*response.items(), ("Content-Length", str(len(response.content)))]
    return response.status_code, headers, response.content
