"""Messages to the service manager that started this process: systemd's sd_notify(3)."""

from __future__ import annotations

import os
import socket


def notify_service_manager(state: str) -> None:
    """Send `state`, such as READY=1 or WATCHDOG=1. Without a service manager, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    # Anything else is a transport of virtual machines.
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            # "@" stands for the zero byte of Linux's abstract namespace.
            sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            sender.send(state.encode())
        except OSError:
            # The manager restarts a service whose messages do not arrive. The work comes first.
            return
