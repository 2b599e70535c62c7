"""Figures of all processes of a server, by prometheus_client's multiprocess mode."""

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
    """Create a folder in which this process and its workers count, and remove it at the end.

    Enter it before Django's system checks: they import the URLs and with them the library, which
    reads the variable once.
    """
    creator = os.getpid()
    folder = os.environ[MULTIPROC_DIR_VARIABLE] = tempfile.mkdtemp(prefix="latchkey-metrics-")
    try:
        yield
    finally:
        # A forked worker that ends runs this block, too.
        if os.getpid() == creator:
            del os.environ[MULTIPROC_DIR_VARIABLE]
            shutil.rmtree(folder, ignore_errors=True)


def mark_worker_dead(pid: int) -> None:
    """Keep the counters of a worker that ended, and drop its gauges."""
    # Without a folder, each worker counted for itself.
    if MULTIPROC_DIR_VARIABLE not in os.environ:
        return
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
