"""Repair of secrets that were pasted or exported: what surrounds them, and words that stand for one."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from common.pem import has_armor
from common.text import CONTROL_CHARACTERS

_BYTE_ORDER_MARK: Final = "\ufeff"
_ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060\u180e"
_LINE_ENDS: Final = "\r\n\u0085\u2028\u2029"
_REMOVED_FROM_ALL: Final = _BYTE_ORDER_MARK + _ZERO_WIDTH + _LINE_ENDS
# A UTF-8 byte order mark that was decoded as Windows-1252, as PowerShell's `>` and Excel do.
_DECODED_BYTE_ORDER_MARK: Final = "\u00ef\u00bb\u00bf"
_CONTROL: Final = re.compile(f"[{CONTROL_CHARACTERS}]")
_MASK_CHARACTERS: Final = "*x.-_#\u2022\u25cf\u00b7\u2026"
_LONGEST_PLACEHOLDER: Final = 100


@dataclass(frozen=True, slots=True, repr=False)
class CleanSecret:
    """A secret without what surrounded it. `removed` names that, in words, and never the value."""

    value: str
    removed: tuple[str, ...] = ()


def clean_secret(raw: str, *, is_password: bool = False) -> CleanSecret:
    """Return the secret without white space and invisible characters at its ends.

    Of a password only byte order marks, zero-width characters and line ends are removed, because it
    may begin or end with a space. A value of nothing else is returned unchanged, for the
    validation to reject.
    """
    # Nearly every secret: an import of a million rows comes here a million times.
    if raw.isascii() and raw.isprintable() and raw[:1] != " " and raw[-1:] != " ":
        return CleanSecret(raw)
    value = raw.removeprefix(_DECODED_BYTE_ORDER_MARK)
    former = None
    # White space may surround what is invisible, and the other way round.
    while value != former:
        former = value
        value = value.strip(_REMOVED_FROM_ALL)
        if not is_password:
            value = value.strip()
    if not value or value == raw:
        return CleanSecret(raw)
    return CleanSecret(value, tuple(_describe_debris(raw, value)))


def find_control_error(value: str) -> str | None:
    """Return why `value` is no secret of one line, or None.

    PEM blocks and JSON documents, such as a service account's key file, have several lines.
    """
    control = _CONTROL.search(value)
    if control is None or has_armor(value) or _is_json_object(value):
        return None
    return f"must not contain the control character U+{ord(control[0]):04X}"


def is_placeholder(value: str, *, is_password: bool = False) -> bool:
    """Return True for words such as `null`, `$encrypted$` or `<your-token>`, in any case.

    A password is compared with the words alone: a person may choose `<one-like-this>`.
    """
    if len(value) > _LONGEST_PLACEHOLDER:
        return False
    word = value.strip().casefold()
    if word in _WORDS or not word.strip(_MASK_CHARACTERS):
        return True
    return not is_password and _PATTERNS.fullmatch(word) is not None


def _read_placeholders() -> tuple[frozenset[str], re.Pattern[str]]:
    """Return the words, and one expression for those with a wildcard."""
    lines = Path(__file__).with_name("placeholder_secrets.txt").read_text("utf-8").splitlines()
    words = {line.casefold() for line in lines if line and not line.startswith("# ")}
    patterns = sorted(word for word in words if "*" in word)
    return (
        frozenset(words - {*patterns}),
        re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)),
    )


_WORDS, _PATTERNS = _read_placeholders()


def _is_json_object(value: str) -> bool:
    if not value.startswith("{"):
        return False
    try:
        return isinstance(orjson.loads(value), dict)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False


def _describe_debris(raw: str, value: str) -> list[str]:
    start = raw.index(value)
    removed = raw[:start] + raw[start + len(value) :]
    marks = _BYTE_ORDER_MARK + _DECODED_BYTE_ORDER_MARK
    names = {
        "a byte order mark": any(each in marks for each in removed),
        "invisible characters": any(each in _ZERO_WIDTH for each in removed),
        "line ends": any(each in _LINE_ENDS for each in removed),
        "white space": any(each.isspace() and each not in _LINE_ENDS for each in removed),
    }
    return [name for name, is_present in names.items() if is_present]
