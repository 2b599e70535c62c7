"""The highest mark of the database that this machine has seen, in a file of `SPOOL_DIR`."""

from __future__ import annotations

import contextlib
import os
import secrets
import uuid
from pathlib import Path
from typing import Final, NamedTuple

import orjson
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

_NAME: Final = "database.mark"
_reported: list[bool] = []


class SeenMark(NamedTuple):
    """A mark of the database `installation`, as a process saw it."""

    installation: uuid.UUID
    number: int
    epoch: uuid.UUID


def read_mark() -> SeenMark | None:
    """Return the mark in the file, None if there is none or if it cannot be read."""
    try:
        document = orjson.loads((Path(settings.SPOOL_DIR) / _NAME).read_bytes())
        installation = uuid.UUID(str(document["installation"]))
        return SeenMark(installation, int(document["number"]), uuid.UUID(str(document["epoch"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        # It is read before each refresh: once is enough.
        if not _reported:
            _reported.append(True)
            log.error("restore.mark_unreadable", error=type(error).__name__)
        return None


def write_mark(mark: SeenMark) -> None:
    """Replace the file. An error is logged and raises nothing."""
    document = {
        "installation": str(mark.installation),
        "number": mark.number,
        "epoch": str(mark.epoch),
    }
    folder = Path(settings.SPOOL_DIR)
    part = folder / f"{_NAME}.{secrets.token_hex(4)}.part"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(orjson.dumps(document))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, folder / _NAME)
    except OSError as error:
        log.warning("restore.mark_not_written", error=type(error).__name__)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
