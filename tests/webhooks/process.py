"""A process of its own that does part of a worker's work: `python -m tests.webhooks.process STEP OWNER`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_ten_times(owner: str) -> None:
    """Let ten processes in turn claim and send a delivery, and be killed before they settle it."""
    from config.startup import disconnect_database
    from webhooks import delivery
    from webhooks.models import WebhookDelivery

    for _ in range(10):
        disconnect_database()  # A connection does not survive a fork.
        if (child := os.fork()) == 0:
            delivery.settle_delivery = die
            delivery.deliver_due(owner=owner, limit=1)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)} ")
        WebhookDelivery.objects.update(next_at="2020-01-01T00:00:00Z")  # The lease has ended.


def main(step: str, owner: str) -> None:
    django.setup()
    from django.db import connection

    from webhooks import delivery

    if step == "die_ten_times":
        die_ten_times(owner)
        return
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
