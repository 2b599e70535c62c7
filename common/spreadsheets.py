"""Cells that a spreadsheet would run as formulas: escaped on the way out, and back on the way in."""

from __future__ import annotations

import unicodedata
from typing import Final

_FORMULA_STARTS: Final = frozenset("=+-@")
_CONTROLS: Final = frozenset("\t\r\n\0")


def escape_formula(cell: str) -> str:
    """Return `cell` with a quote before it if a spreadsheet would run it as a formula.

    That is a cell that begins with = + - @ or a control character (OWASP ASVS 5.0, 1.2.10). A cell
    that already has quotes before such a beginning gets another one, so that `unescape_formula`
    returns what was there.
    """
    return f"'{cell}" if _is_formula(cell.lstrip("'")) else cell


def unescape_formula(cell: str) -> str:
    """Return `cell` without the quote that `escape_formula` has put before it."""
    return cell[1:] if cell[:1] == "'" and _is_formula(cell.lstrip("'")) else cell


def _is_formula(cell: str) -> bool:
    if cell[:1] in _CONTROLS:
        return True
    # Spreadsheets in East Asian languages also run the wide forms (U+FF1D and so on), which NFKC maps
    # to the ASCII ones. Some trim leading blanks.
    first = unicodedata.normalize("NFKC", cell.lstrip()[:1])
    return first[:1] in _FORMULA_STARTS
