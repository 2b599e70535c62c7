"""What our management commands share."""

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
    """Turn a Problem into CommandError: its sentence on standard error, exit code 2, no traceback."""
    try:
        yield
    except ServiceError as problem:
        raise CommandError(problem.detail, returncode=2) from None


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """The file at `path`, or standard input for `-`. Raises CommandError where it cannot be read."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed below; an error of the body is not ours
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", returncode=2) from None
    with stream:
        yield stream


def read_bounded_lines(stream: BinaryIO, longest: int) -> Iterator[bytes]:
    """The lines of `stream`, each cut so that no more than `longest` bytes and a line end are held.

    A cut line is longer than `longest`, which its reader refuses; what follows in it is skipped.
    """
    while raw := stream.readline(longest + 3):
        yield raw
        while raw and not raw.endswith(b"\n"):
            raw = stream.readline(longest)


class ReportFile:
    """NDJSON, a row for each rejected line, written as it comes; without a path it writes nothing."""

    def __init__(self, path: str | None, *, source: str) -> None:
        self.path = path
        self.source = source
        self.stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            if self.source != "-" and _same_file(self.source, self.path):
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
        if self.stream is not None:
            self.stream.write(orjson.dumps(row) + b"\n")


def _same_file(one: str, other: str) -> bool:
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


class Progress:
    """One line on a terminal, rewritten as work goes on; nothing where there is no terminal."""

    def __init__(self, stderr: OutputWrapper) -> None:
        self.stderr = stderr
        self.shown = stderr.isatty()
        self.started = time.monotonic()

    def show(self, done: int, counts: str) -> None:
        if self.shown:
            rate = done / max(time.monotonic() - self.started, 0.001)
            self.stderr.write(f"\r{done} lines, {rate:,.0f}/s: {counts}\x1b[K", ending="")
            self.stderr.flush()

    def finish(self) -> None:
        if self.shown:
            self.stderr.write("")
