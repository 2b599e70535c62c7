"""Fail if the lock files do not match pyproject.toml, or could install a file without a hash.

requirements.lock is for development; requirements-runtime.lock is its part that production needs.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def find_errors(project: str, lock: str, runtime_lock: str) -> list[str]:
    """Return the errors of both files, each with the name of its file."""
    document = tomllib.loads(project)
    runtime = document["project"]["dependencies"]
    development = document["dependency-groups"]["dev"]
    errors = [
        f"requirements.lock: {error}" for error in find_lock_errors(lock, [*runtime, *development])
    ]
    found = find_lock_errors(runtime_lock, runtime)
    pins, runtime_pins = read_pins(lock), read_pins(runtime_lock)
    found += [
        f"{name}=={version}: not in requirements.lock"
        for name, version in runtime_pins.items()
        if pins.get(name) != version
    ]
    found += [
        f"{line}: only development needs it"
        for line in development
        if canonicalize_name(Requirement(line).name) in runtime_pins
    ]
    return errors + [f"requirements-runtime.lock: {error}" for error in found]


def find_lock_errors(lock: str, requirements: Sequence[str]) -> list[str]:
    """Return the errors: requirements without a pin in their range, pins without a hash, URLs."""
    pins = read_pins(lock)
    errors = [
        f"{line}: not pinned in its range" for line in requirements if not _is_met(line, pins)
    ]
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    errors += [f"{entry.split()[0]}: no hash" for entry in entries if "--hash=sha256:" not in entry]
    return errors + ["it names a URL"] * ("://" in lock)


def read_pins(lock: str) -> dict[str, str]:
    """Return the versions by normalized name."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def _is_met(line: str, pins: Mapping[str, str]) -> bool:
    requirement = Requirement(line)
    version = pins.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version)


if __name__ == "__main__":
    files = ("pyproject.toml", "requirements.lock", "requirements-runtime.lock")
    sys.exit("\n".join(find_errors(*((ROOT / name).read_text() for name in files))) or 0)
