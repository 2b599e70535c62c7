"""Helpers of the management commands: errors, input, reports and progress."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, BinaryIO, Self

import orjson
from django.core.management import CommandError
from django.core.management.base import OutputWrapper

from common.errors import ServiceError


@contextlib.contextmanager
def raise_command_errors() -> Iterator[None]:
    """Turn a ServiceError into a CommandError: one line on standard error and exit code 2."""
    try:
        yield
    except ServiceError as error:
        raise CommandError(error.detail, returncode=2) from None


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open the file at `path`, or standard input for `-`. Raise CommandError if it is unreadable."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        # Opened outside the `with`: an OSError of the caller's block is not an unreadable file.
        stream = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", returncode=2) from None
    with stream:
        yield stream


def read_bounded_lines(stream: BinaryIO, max_length: int) -> Iterator[bytes]:
    """Yield the lines of `stream`, with at most `max_length` bytes of each in memory.

    A longer line is yielded with more than `max_length` bytes, so that its reader rejects it. The
    rest of that line is skipped.
    """
    # Three more bytes: one that exceeds the limit, and a line end of at most two.
    while raw := stream.readline(max_length + 3):
        yield raw
        while raw and not raw.endswith(b"\n"):
            raw = stream.readline(max_length)


class ReportFile:
    """An NDJSON file with one row for each rejected line. Without a path, nothing is written."""

    def __init__(self, path: str | None, *, source: str) -> None:
        self.path = path
        self.source = source
        self.stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            both_exist = os.path.exists(self.source) and os.path.exists(self.path)
            if self.source != "-" and both_exist and os.path.samefile(self.source, self.path):
                raise CommandError("--report names the input file itself.", returncode=2)
            try:
                self.stream = open(self.path, "wb")
            except OSError as error:
                raise CommandError(f"{self.path}: {error.strerror}", returncode=2) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.stream is not None:
            self.stream.close()

    def write(self, row: dict[str, Any]) -> None:
        """Write one row, if there is a file."""
        if self.stream is not None:
            self.stream.write(orjson.dumps(row) + b"\n")


class Progress:
    """A line on the terminal that is rewritten as work goes on. Silent if there is no terminal."""

    def __init__(self, stderr: OutputWrapper) -> None:
        self.stderr = stderr
        self.is_visible = stderr.isatty()
        self.started_at = time.monotonic()

    def show(self, done: int, counts: str) -> None:
        """Write the number of lines done so far, the rate, and `counts`."""
        if self.is_visible:
            rate = done / max(time.monotonic() - self.started_at, 0.001)
            self.stderr.write(f"\r{done} lines, {rate:,.0f}/s: {counts}\x1b[K", ending="")
            self.stderr.flush()

    def finish(self) -> None:
        """End the line, so that the next output starts on its own."""
        if self.is_visible:
            self.stderr.write("")
