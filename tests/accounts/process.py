"""A separate process that is killed in a request: `python -m tests.accounts.process POINT TOKEN BODY`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def kill_self(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(point: str, token: str, body: str) -> None:
    """Die at `point`: before_work, after_work (no response is stored yet), or after_commit."""
    django.setup()
    from accounts import idempotency
    from credentials import services
    from tests.api import ApiClient

    if point == "before_work":
        services.credential_import = kill_self  # type: ignore[assignment]
    elif point == "after_work":
        idempotency.store_response = kill_self
    headers = {"Idempotency-Key": "k-1"}
    response = ApiClient(token).post("/v1/credentials", body.encode(), headers=headers)
    assert response.status_code == 200, response.content
    if point == "after_commit":
        kill_self()


if __name__ == "__main__":
    main(*sys.argv[1:])
