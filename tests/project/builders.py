"""Bodies and query strings that are too long, or not valid text, for a data file."""

from __future__ import annotations

import json
from collections.abc import Callable

LIMIT = 256 * 1024
_OK = {"properties": {"kind": "stripe_key", "secret": "sk_test_hush", "name": "né"}}
_TEXT = json.dumps(_OK, ensure_ascii=False)


def _build_metadata(raw: str) -> bytes:
    return f'{{"properties":{{"kind":"stripe_key","secret":"hush"}},"metadata":{raw}}}'.encode()


def _build_padded(size: int) -> bytes:
    return b'{"pad":"' + b"x" * (size - 10) + b'"}'


BODIES: dict[str, Callable[[], bytes]] = {
    "with_bom": lambda: b"\xef\xbb\xbf" + _TEXT.encode(),
    "utf_16": lambda: _TEXT.encode("utf-16"),
    "utf_32": lambda: _TEXT.encode("utf-32"),
    "latin_1": lambda: _TEXT.encode("latin-1"),
    "overlong": lambda: b'{"name":"\xc0\xaf"}',
    "raw_surrogate": lambda: b'{"name":"\xed\xa0\x80"}',
    "cut_character": lambda: _TEXT.encode()[: _TEXT.encode().index(b"\xa9")],
    "deep_objects": lambda: _build_metadata('{"a":' * 5000 + "1" + "}" * 5000),
    "deep_arrays": lambda: _build_metadata("[" * 100_000 + "]" * 100_000),
    "long_integer": lambda: _build_metadata('{"a":%s}' % ("9" * 4301)),
    "long_integer_patch": lambda: b'{"metadata":{"a":%s}}' % (b"9" * 4301),
    "huge_metadata": lambda: _build_metadata(json.dumps({"a": "x" * 1_000_000})),
    "three_million": lambda: _build_metadata(json.dumps({"a": "x" * 3_000_000})),
    "over_limit": lambda: _build_padded(LIMIT + 1),
    "at_limit": lambda: _build_padded(LIMIT),
}

QUERIES: dict[str, Callable[[], str]] = {
    "deep_filter": lambda: "metadata=" + "%5B" * 3000 + "%5D" * 3000,
    "many_parameters": lambda: "&".join(f"a{n}=1" for n in range(1001)),
    "long_value": lambda: "a=" + "b" * 5000,
    "long_twice": lambda: "kind=a&kind=b&provider=" + "b" * 5000,
}
