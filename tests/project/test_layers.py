"""The import rules of pyproject.toml, and the packages that they are about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "accounts", "common", "config", "credentials", "egress", "events", "oauth_apps", "providers",
    "vault", "webhooks",
}  # fmt: skip


def test_import_contracts_are_kept():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_top_level_packages_are_those_of_the_contracts():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "bench", "tools"} == PACKAGES
