"""Which strings may be stored, for every place where text enters."""

from __future__ import annotations

import re
import unicodedata

# Bidirectional controls reorder what a reader sees (Trojan Source, CVE-2021-42574).
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDI}]")


def find_encoding_error(value: str) -> str | None:
    """Why `value` cannot be stored in any column (NUL, half a surrogate pair), or None."""
    if "\x00" in value:
        return "must not contain the NUL character"
    if not value.isascii() and _SURROGATE.search(value):
        return "must not contain a lone surrogate"
    return None


def find_label_error(value: str, *, max_length: int) -> str | None:
    """Why `value` is no label (one line that people read: a name, a key, an id), or None."""
    if not value.strip():
        return "must not be blank"
    if len(value) > max_length:
        return f"must have at most {max_length} characters"
    if value.isascii() and value.isprintable():
        return None  # Most labels are, and an import checks millions.
    return find_encoding_error(value) or _control_fault(value)


def find_secret_error(value: str, *, max_length: int) -> str | None:
    """Why `value` is no secret, or None. A secret is kept byte for byte: a PEM key has line breaks."""
    if not value.strip():
        return "must not be blank"
    if len(value) > max_length:
        return f"must have at most {max_length} characters"
    return find_encoding_error(value)


def normalize_text(value: str) -> str:
    """NFC, so that one name typed on two systems is one name (Unicode Annex 15)."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def escape_name(name: str) -> str:
    """A name that a caller chose, fit for an answer or a log: short, and without what hides or breaks."""
    if find_label_error(name, max_length=64) is None:
        return name
    return name[:64].encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")


def _control_fault(value: str) -> str | None:
    found = _CONTROL.search(value)
    return f"must not contain the control character U+{ord(found[0]):04X}" if found else None
