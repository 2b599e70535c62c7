"""Events as text for pages."""

from __future__ import annotations

from typing import Any

import pytest

from events.formatting import format_change


@pytest.mark.parametrize(
    ("changed", "detail", "text"),
    [
        ([], None, ""),
        (["name", "metadata"], None, "name, metadata"),
        ([], {"method": "GET", "path": "/v1/*", "status": 200, "ms": 9}, "GET /v1/*: 200, 9 ms"),
        (["secret"], {"reason": "A ticket"}, "secret: “A ticket”"),
        ([], {"path": "/v1/*"}, "path /v1/*"),
        ([], ["whatever"], "['whatever']"),
    ],
    ids=["neither", "changed", "use", "reveal", "other", "foreign"],
)
def test_format_change(changed: list[str], detail: Any, text: str) -> None:
    assert format_change(changed, detail) == text
