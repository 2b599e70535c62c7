from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.registry import DATA_DIR, get_registry


@pytest.fixture
def folder(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an operator's folder. Only two built-in files are read, because checking all is slow."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    for name in ("stripe.json", "github.json"):
        (ours / name).symlink_to(DATA_DIR / name)
    monkeypatch.setattr("providers.registry.DATA_DIR", ours)
    settings.PROVIDERS_DIR = str(theirs)
    get_registry.cache_clear()
    yield theirs
    get_registry.cache_clear()
