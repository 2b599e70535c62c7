"""Header names and values (RFC 9110 §5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

Headers = Sequence[tuple[str, str]]
"""Name and value of each header, in order; a name may occur more than once."""

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def get_header(headers: Headers, name: str) -> str | None:
    """Return the value of a header, several joined with commas (RFC 9110 §5.3), or None.

    The names in `headers` are lower case.
    """
    values = [value for each, value in headers if each == name.lower()]
    return ", ".join(values) if values else None
