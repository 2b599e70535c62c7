"""The rooms and their one direction: who may import whom."""

from __future__ import annotations

import ast
import functools
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


@functools.cache
def imported(room: str) -> list[tuple[str, str]]:
    """The place (file:line) and full name of each import in a room, those within functions too."""
    found = [each for path in sorted((ROOT / room).rglob("*.py")) for each in _imported(path)]
    assert found, f"{room} has no file that imports anything"
    return found


def _imported(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            module = ""
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{place}: a relative import"
                module = f"{node.module}."
            yield from ((place, module + alias.name) for alias in node.names)


def first(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_go_downwards_only(room):
    others = {*LAYERS, *LEAVES} - may_import(room)
    assert [(place, name) for place, name in imported(room) if first(name) in others] == []


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_nothing_imports_the_tests(room):
    outside = {"tests", "bench", "tools"}
    assert [(place, name) for place, name in imported(room) if first(name) in outside] == []


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


@pytest.mark.parametrize("room", sorted(ROOMS - {"egress"}))
def test_only_egress_opens_sockets(room):
    openers = {"socket", "ssl", "httpx", "httpx2", "requests", "urllib3", "aiohttp", "ftplib"}
    found = [
        (place, name)
        for place, name in imported(room)
        if first(name) in openers or name.startswith(("urllib.request", "http.client"))
    ]
    assert found == []
