"""Notices of a reader about a file as a whole, counted by lines, for the report of its import."""

from __future__ import annotations

from collections import Counter


class FileNotices:
    """Sentences about a file, each with the number of lines that it is about. Never a value."""

    def __init__(self) -> None:
        self._lines: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        """The number of lines with each read-only column of an export."""

    def add(self, sentence: str) -> None:
        """Count one more line for `sentence`."""
        self._lines[sentence] += 1

    def to_list(self) -> list[str]:
        """Return the sentences in the order in which they first applied."""
        return [
            f"{sentence} ({count:,} {'line' if count == 1 else 'lines'})"
            for sentence, count in self._lines.items()
        ]
