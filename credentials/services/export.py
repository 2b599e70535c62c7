"""Format credentials as rows of a CSV file: without secrets, and without formulas."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

import orjson

EXPORT_COLUMNS: Final = (
    "id", "provider", "kind", "name", "oauth_app_id", "owner_email", "external_id",
    "properties", "metadata", "health", "expires_at", "last_used_at", "created_at", "updated_at",
)  # fmt: skip

_FORMULA_STARTS: Final = frozenset("=+-@")
_CONTROLS: Final = frozenset("\t\r\n\0")


def format_row(document: dict[str, Any]) -> list[str]:
    """Return the cells of a credential as the API shows it, in the order of EXPORT_COLUMNS.

    Secrets are masked in `document` already.
    """
    cells = []
    for name in EXPORT_COLUMNS:
        value = document[name]
        if value is None:
            cells.append("")
        else:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            cells.append(escape_formula(text))
    return cells


def escape_formula(cell: str) -> str:
    """Return `cell` with a quote before it if a spreadsheet would run it as a formula.

    That is a cell that begins with = + - @ or a control character (OWASP ASVS 5.0, 1.2.10).
    """
    if cell[:1] in _CONTROLS:
        return f"'{cell}"
    # Spreadsheets in East Asian languages also run the wide forms (U+FF1D and so on), which NFKC maps
    # to the ASCII ones. Some trim leading blanks.
    first = unicodedata.normalize("NFKC", cell.lstrip()[:1])
    return f"'{cell}" if first[:1] in _FORMULA_STARTS else cell
