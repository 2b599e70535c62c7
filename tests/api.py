"""A caller of the API, over Django's test client: what a test sends is what the server gets."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client


class ApiClient:
    def __init__(self, token: str | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.token = token

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """`body`: bytes go as they are, None is no body, anything else becomes JSON."""
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.generic(
            method, path, raw, content_type=content_type, headers={**sent, **(headers or {})}
        )

    def get(self, path: str, **more: Any) -> Any:
        return self.send("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("POST", path, body, **more)

    def patch(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.send("DELETE", path, **more)
