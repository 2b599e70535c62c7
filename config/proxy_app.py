"""The proxy's WSGI application with the project's own client addresses and error responses."""

from __future__ import annotations

from common.http import LatchkeyRequest
from config.api.errors import build_error_response
from config.middleware import read_client_ip
from credentials.proxy.connection import CallerConnection, ErrorResponse
from credentials.proxy.wsgi import Proxy
from egress import Client


def build_proxy(client: Client) -> Proxy:
    """Return the proxy that sends its requests with `client`."""
    return Proxy(client=client, connection_factory=_ApiConnection)


class _ApiConnection(CallerConnection):
    """A connection with the client address and the error responses of the API."""

    @property
    def client_ip(self) -> str | None:
        return read_client_ip(self.environ)

    def error_response(self, error: Exception) -> ErrorResponse:
        request = LatchkeyRequest()
        path = str(self.environ.get("RAW_URI", "")).partition("?")[0]
        # The short route belongs to the metadata API, which has errors of one line.
        request.path = f"/api{path}" if path.startswith("/proxy/") else path
        request.request_id = self.request_id
        response = build_error_response(request, error)
        headers = [*response.items(), ("Content-Length", str(len(response.content)))]
        return ErrorResponse(response.status_code, headers, response.content)
