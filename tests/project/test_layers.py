"""The rooms and their one direction: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ["config", "credentials", "oauth_apps", "webhooks", "accounts", "events", "vault"]
LEAVES = ["providers", "egress", "common"]
ROOMS = {room for room in [*LAYERS, *LEAVES] if (ROOT / room / "__init__.py").exists()}


def may_import(room: str) -> set[str]:
    if room in LAYERS:
        return {*LAYERS[LAYERS.index(room) :], *LEAVES}
    # A leaf stands on nothing, but all may use what all share.
    return {room, "common"} if room == "providers" else {room} | ({"common"} - {room})


def modules() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Each import's line and full name, those within functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)}:{node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def first(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards_only(path):
    allowed = may_import(path.relative_to(ROOT).parts[0])
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for line, name in imported(path)
        if first(name) in {*LAYERS, *LEAVES} - allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_the_tests(path):
    assert not {"tests", "bench", "tools"} & {first(name) for _, name in imported(path)}


def test_every_package_at_the_top_has_its_place():
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench", "tools"}
    assert found == ROOMS
    assert found >= {"config", "credentials", "oauth_apps", "accounts", "events", "vault"}


def test_the_configured_contracts_hold():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    if "importlinter" not in settings:
        return  # Then the tests above are the only contract.
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_egress_opens_sockets(path):
    if path.relative_to(ROOT).parts[0] == "egress":
        return
    openers = {"socket", "ssl", "httpx", "httpx2", "requests", "urllib3", "aiohttp", "ftplib"}
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for line, name in imported(path)
        if first(name) in openers or name.startswith(("urllib.request", "http.client"))
    ]
    assert found == []
