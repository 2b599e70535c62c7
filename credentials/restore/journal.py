"""A journal of the newest refreshes, outside the database: no secret, only ids and generations.

Two files of bounded size in `SPOOL_DIR`. After the database went back, they say which grants this
machine has refreshed since.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import secrets
import uuid
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from django.conf import settings

from common.datetimes import format_rfc3339

log = structlog.get_logger(__name__)

MAX_BYTES: Final = 4_000_000
"""The size at which a new file begins: some 60,000 refreshes. The one before is kept."""

_NAME: Final = "refreshes.journal"
_DRAINED: Final = "refreshes.drained-"


def append_refresh(id: uuid.UUID, generation: int, time: dt.datetime) -> None:
    """Note that the grant of this generation is stored. An error is logged and raises nothing."""
    line = f"{id} {generation} {format_rfc3339(time)}\n".encode()
    try:
        folder = _get_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One write of a short line is not mixed with those of other processes.
        file = os.open(folder / _NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line)
            size = os.fstat(file).st_size
        finally:
            os.close(file)
        if size > MAX_BYTES:
            with open(folder / f"{_NAME}.lock", "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Another process may have been first.
                if (folder / _NAME).stat().st_size > MAX_BYTES:
                    os.replace(folder / _NAME, folder / f"{_NAME}.1")
    except OSError as error:
        log.warning("refresh.journal_failed", error=type(error).__name__)


class DrainedJournal(NamedTuple):
    """The highest generation of each grant, and the files that they were read from."""

    generations: dict[uuid.UUID, int]
    files: list[Path]

    def delete(self) -> None:
        """Forget these refreshes: they say nothing about the grants after the restore."""
        for file in self.files:
            file.unlink(missing_ok=True)


def drain_journal() -> DrainedJournal:
    """Return the refreshes so far. Later ones go to a new file. A damaged line is skipped.

    The files stay until the caller deletes them, so that a crash in between loses nothing.
    """
    folder = _get_folder()
    for name in (f"{_NAME}.1", _NAME):
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder / name, folder / f"{_DRAINED}{secrets.token_hex(8)}")
    generations: dict[uuid.UUID, int] = {}
    files = sorted(folder.glob(f"{_DRAINED}*"))
    for file in files:
        for line in file.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # A process died while it wrote.
                id, generation, _ = line.split(" ")
                key = uuid.UUID(id)
                generations[key] = max(int(generation), generations.get(key, 0))
    return DrainedJournal(generations, files)


def _get_folder() -> Path:
    return Path(settings.SPOOL_DIR)
