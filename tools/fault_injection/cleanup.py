"""Actions at a signal: processes and clusters would outlive a program that is only interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

_actions: Final[list[Callable[[], None]]] = []


def add_cleanup(action: Callable[[], None]) -> None:
    """Call `action` if the program is ended by a signal. Errors that it raises are ignored."""
    _actions.append(action)


def handle_signals() -> None:
    """Clean up and exit at SIGINT and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _clean_up)


def _clean_up(number: int, frame: FrameType | None) -> None:
    for action in reversed(_actions):
        with contextlib.suppress(Exception):
            action()
    # Threads of scenarios would go on, and wait for what is gone.
    os._exit(128 + number)
