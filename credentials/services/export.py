"""Credentials as cells of a table: what the API shows, and nothing that a spreadsheet would run."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

import orjson

_STARTS: Final = frozenset("=+-@")
_CONTROLS: Final = frozenset("\t\r\n\0")

EXPORT_COLUMNS: Final = (
    "id", "provider", "kind", "name", "oauth_app_id", "owner_email", "external_id",
    "properties", "metadata", "health", "expires_at", "last_used_at", "created_at", "updated_at",
)  # fmt: skip


def format_row(document: dict[str, Any]) -> list[str]:
    """A credential, as the API shows it, in the order of COLUMNS. Secrets are masked there."""
    return [_cell(document[name]) for name in EXPORT_COLUMNS]


def escape_formula(cell: str) -> str:
    """`cell` so that no spreadsheet runs it: a leading = + - @ or control gets a quote before it.

    OWASP ASVS 5.0, 1.2.10. Their wide forms (U+FF1D and so on) count too, as spreadsheets in East
    Asian languages read them alike, and so does what stands behind blanks, which some trim.
    """
    if cell[:1] in _CONTROLS:
        return f"'{cell}"
    first = unicodedata.normalize("NFKC", cell.lstrip()[:1])
    return f"'{cell}" if first[:1] in _STARTS else cell


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return escape_formula(text)
