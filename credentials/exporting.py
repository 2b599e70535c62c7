"""Credentials as cells of a table: what the API shows, and nothing that a spreadsheet would run."""

from __future__ import annotations

from typing import Any, Final

import orjson

COLUMNS: Final = (
    "id", "provider", "kind", "name", "oauth_app_id", "owner_email", "external_id",
    "properties", "metadata", "health", "expires_at", "last_used_at", "created_at", "updated_at",
)  # fmt: skip


def cells(document: dict[str, Any]) -> list[str]:
    """A credential, as the API shows it, in the order of COLUMNS. Secrets are masked there."""
    return [_cell(document[name]) for name in COLUMNS]


def neutral(cell: str) -> str:
    """`cell` so that no spreadsheet runs it: a leading = + - @ TAB or CR gets a quote before it.

    OWASP ASVS 5.0, 1.2.10.
    """
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r", "\0"} else cell


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return neutral(text)
