"""Fail if requirements.lock is not in step with pyproject.toml, or could install an unhashed file."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def faults(project: str, lock: str) -> list[str]:
    """What is wrong: a requirement without a pin in its range, a pin without a hash, a URL."""
    document = tomllib.loads(project)
    wanted = [*document["project"]["dependencies"], *document["dependency-groups"]["dev"]]
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock, re.MULTILINE))
    pinned: dict[str, str] = {canonicalize_name(name): version for name, version in pins.items()}
    found = [f"{line}: not pinned in its range" for line in wanted if not _met(line, pinned)]
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    found += [f"{entry.split()[0]}: no hash" for entry in entries if "--hash=sha256:" not in entry]
    return found + ["the lock names a URL"] * ("://" in lock)


def _met(line: str, pinned: dict[str, str]) -> bool:
    requirement = Requirement(line)
    version = pinned.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version)


if __name__ == "__main__":
    sys.exit(
        "\n".join(
            faults((ROOT / "pyproject.toml").read_text(), (ROOT / "requirements.lock").read_text())
        )
        or 0
    )
