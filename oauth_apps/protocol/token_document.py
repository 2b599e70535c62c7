"""Decode the body of a token endpoint's response leniently.

A token response cannot be requested again: a provider that rotates has replaced the refresh token
by the time its response arrives. Callers' JSON is parsed strictly (`common.strict_json`); this is
the other direction.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from email.message import Message
from typing import Any, Final
from urllib.parse import parse_qsl

from egress import Response

# UTF-32 before UTF-16: the mark of UTF-16LE is the beginning of that of UTF-32LE.
_BYTE_ORDER_MARKS: Final[tuple[tuple[bytes, str], ...]] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FORM: Final = "application/x-www-form-urlencoded"
# Python rejects integers of more than 4,300 digits; no number of a token response has more than 30.
_MAX_DIGITS: Final = 30
_MAX_FIELDS: Final = 200


def decode_token_document(response: Response) -> dict[str, Any] | None:
    """Return the object that a token endpoint sent, or None if there is none.

    Accepts a byte order mark, the charset of Content-Type (undecodable bytes are replaced),
    duplicate names (the last one wins), NaN, raw control characters in strings, form encoding,
    and tokens wrapped in one `data` object. Raises nothing.
    """
    content_type = Message()
    content_type["content-type"] = response.get_header("content-type") or ""
    content = _decode_text(response.body, content_type.get_content_charset())
    if content_type.get_content_type() == _FORM:
        document = _parse_form(content)
    else:
        # Some servers send form encoding with another label, GitHub's login page among them.
        document = _parse_json(content)
        if document is None:
            document = _parse_form(content)
    # Some providers wrap the tokens in one object.
    inner = document.get("data") if document and "access_token" not in document else None
    if document and isinstance(inner, Mapping) and "access_token" in inner:
        return {**document, **inner}
    return document


def _decode_text(body: bytes, charset: str | None) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    try:
        return body.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # A charset that Python does not know, or no text encoding.
        return body.decode("utf-8", "replace")


def _parse_json(content: str) -> dict[str, Any] | None:
    try:
        # What follows the object, such as a second one, is no reason to lose the tokens in it.
        document, _ = _DECODER.raw_decode(content.strip(" \t\r\n\ufeff"))
    except (ValueError, RecursionError):
        return None
    if isinstance(document, list) and len(document) == 1:
        document = document[0]  # As some send their errors.
    return document if isinstance(document, dict) else None


def _parse_form(content: str) -> dict[str, Any] | None:
    if "=" not in content or "<" in content:  # An HTML page is no form.
        return None
    try:
        fields = parse_qsl(content.strip(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None
    return dict(fields) or None


_DECODER: Final = json.JSONDecoder(
    strict=False,
    parse_int=lambda digits: int(digits) if len(digits) <= _MAX_DIGITS else float(digits),
)
