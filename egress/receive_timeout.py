"""A time limit for receiving that a socket keeps whatever else is set on it."""

from __future__ import annotations

import socket
import struct


def limit_receive_time(sock: socket.socket, seconds: float) -> None:
    """Let `recv` on a blocking socket raise BlockingIOError after `seconds` without a byte."""
    # Not `settimeout`: gunicorn's `setblocking` would undo it.
    whole, fraction = divmod(seconds, 1)
    value = struct.pack("ll", int(whole), int(fraction * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
