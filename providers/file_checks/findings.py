"""The ids of the system check's messages, and the shape of one finding."""

from __future__ import annotations

from typing import Final

UNREADABLE: Final = "providers.E001"
SCHEMA: Final = "providers.E002"
DUPLICATE: Final = "providers.E003"
UNKNOWN_FIELD: Final = "providers.E004"
EXAMPLE: Final = "providers.E005"
VARIABLE: Final = "providers.E006"
FILE_NAME: Final = "providers.E007"
RULE: Final = "providers.E008"
EVIDENCE: Final = "providers.E009"
FORMAT: Final = "providers.E010"

FileError = tuple[str, str, str]
"""The check's id, the path of the field in the file, and what is wrong with the field."""
