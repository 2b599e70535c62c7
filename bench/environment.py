"""The environment of every measured process: production settings on TEST_DATABASE_URL."""

from __future__ import annotations

import argparse
import base64
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.fill import Filled

CURSOR_KEY = "BENCH_CURSOR_KEY"


def prepare() -> None:
    """Set the environment of this process and its children, then start Django."""
    url = os.environ.get("TEST_DATABASE_URL", "")
    if not url.startswith("postgres"):
        sys.exit("bench: TEST_DATABASE_URL must name a PostgreSQL: tools/with-postgres COMMAND")
    os.environ.update(
        DATABASE_URL=url,
        DEBUG="0",
        SECRET_KEY="only for measuring " * 4,
        PUBLIC_URL="http://127.0.0.1",
        ALLOWED_HOSTS="127.0.0.1",
        VAULT_KEYS=f"bench:{base64.b64encode(b'b' * 32).decode()}",
        VAULT_KEYS_FILE="",
        RATE_LIMITS="0",
        DJANGO_SETTINGS_MODULE="config.settings",
    )
    import django

    django.setup()


def filled(description: str | None) -> Filled:
    """Prepare a database with `--rows` credentials, a million by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    chosen = parser.parse_args()
    prepare()

    from bench.fill import fill

    return fill(chosen.rows)
