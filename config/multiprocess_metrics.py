"""Figures of all processes of a server together, by prometheus_client's multiprocess mode."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Final

MULTIPROC_DIR_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


@contextlib.contextmanager
def share_metrics() -> Iterator[None]:
    """A folder, empty at first and gone at the end, in which this process and its workers count.

    The library looks for it once, when it is first imported. So enter this before the system's
    checks, which import the URLs and with them the library.
    """
    maker = os.getpid()
    folder = os.environ[MULTIPROC_DIR_VARIABLE] = tempfile.mkdtemp(prefix="latchkey-metrics-")
    try:
        yield
    finally:
        # A forked worker that ends comes this way too.
        if os.getpid() == maker:
            del os.environ[MULTIPROC_DIR_VARIABLE]
            shutil.rmtree(folder, ignore_errors=True)


def mark_worker_dead(pid: int) -> None:
    """What a worker that ended has counted stays; what it had under way is over."""
    if MULTIPROC_DIR_VARIABLE not in os.environ:
        return  # Each worker counted for itself.
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
