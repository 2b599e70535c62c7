"""Plain tables, and the ratios with their targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Ratio(NamedTuple):
    name: str
    value: float
    target: float
    at_most: bool = False
    """The target is not to be passed, instead of to be reached."""

    @property
    def reached(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Align the first column to the left and numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        first, *others = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip(), flush=True)


def verdict(ratios: Sequence[Ratio]) -> None:
    """Speed is shown, and is no reason to fail: the machine may be busy with something else."""
    print()
    rows = [
        (
            one.name,
            f"{one.value:.2f}",
            f"{one.target:.2f}",
            "yes" if one.reached else "no",
        )
        for one in ratios
    ]
    table(("ratio", "measured", "target", "reached"), rows)
