"""Rules for text that may be stored, applied wherever text enters."""

from __future__ import annotations

import re
import unicodedata

# Bidirectional controls reorder what a reader sees (Trojan Source, CVE-2021-42574).
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
CONTROL_CHARACTERS = "\x00-\x1f\x7f-\x9f\u2028\u2029"
"""C0 and C1 controls and the line separators of Unicode, for a character class."""

# Letters, numbers, punctuation and symbols. The others show nothing by themselves.
_VISIBLE = "LNPS"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(f"[{CONTROL_CHARACTERS}{_BIDI}]")


def find_encoding_error(value: str) -> str | None:
    """Return why no database column can store `value` (NUL, lone surrogate), or None."""
    if "\x00" in value:
        return "must not contain the NUL character"
    if not value.isascii() and _SURROGATE.search(value):
        return "must not contain a lone surrogate"
    return None


def find_label_error(value: str, *, max_length: int) -> str | None:
    """Return why `value` is not a valid label, or None. A label is one line that people read."""
    if not value.strip():
        return "must not be blank"
    if len(value) > max_length:
        return f"must have at most {max_length} characters"
    # Most labels are plain ASCII, and an import checks millions of them.
    if value.isascii() and value.isprintable():
        return None
    if error := find_encoding_error(value):
        return error
    if not any(unicodedata.category(character)[0] in _VISIBLE for character in value):
        return "must not be blank"
    control = _CONTROL.search(value)
    return f"must not contain the control character U+{ord(control[0]):04X}" if control else None


def find_secret_error(value: str, *, max_length: int) -> str | None:
    """Return why `value` is not a valid secret, or None."""
    if not value.strip():
        return "must not be blank"
    if len(value) > max_length:
        return f"must have at most {max_length} characters"
    # secret_text.find_control_error decides on control characters: a PEM key has line breaks.
    return find_encoding_error(value)


def normalize_text(value: str) -> str:
    """Return `value` in NFC (Unicode Annex 15), so that a name typed on two systems is one name."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def escape_name(name: str) -> str:
    """Return a name that a caller chose as short printable text for a response or a log."""
    if find_label_error(name, max_length=64) is None:
        return name
    return name[:64].encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")
