"""Fail if requirements.lock does not match pyproject.toml, or could install a file without a hash."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def find_errors(project: str, lock: str) -> list[str]:
    """Return the errors: requirements without a pin in their range, pins without a hash, URLs."""
    document = tomllib.loads(project)
    requirements = [*document["project"]["dependencies"], *document["dependency-groups"]["dev"]]
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock, re.MULTILINE))
    pinned: dict[str, str] = {canonicalize_name(name): version for name, version in pins.items()}
    errors = [
        f"{line}: not pinned in its range" for line in requirements if not _is_met(line, pinned)
    ]
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    errors += [f"{entry.split()[0]}: no hash" for entry in entries if "--hash=sha256:" not in entry]
    return errors + ["the lock names a URL"] * ("://" in lock)


def _is_met(line: str, pinned: dict[str, str]) -> bool:
    requirement = Requirement(line)
    version = pinned.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version)


if __name__ == "__main__":
    sys.exit(
        "\n".join(
            find_errors(
                (ROOT / "pyproject.toml").read_text(), (ROOT / "requirements.lock").read_text()
            )
        )
        or 0
    )
