"""A process of its own that does part of a worker's work: `python -m tests.webhooks.process STEP OWNER`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(step: str, owner: str) -> None:
    django.setup()
    from django.db import connection

    from webhooks import delivery

    if step == "work":
        count = 0
        while done := delivery.deliver_due(owner=owner, limit=4):
            count += done
        sys.stdout.write(str(count))
        connection.close()
        return
    if step == "die_before_sending":
        delivery.send_webhook = die  # type: ignore[assignment]
    elif step == "die_before_settling":
        delivery.settle_delivery = die
    delivery.deliver_due(owner=owner, limit=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
