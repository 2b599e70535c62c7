"""Reading the environment: each wrong variable becomes one sentence that says what to do."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import dj_database_url
import dj_email_url
import django_cache_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

env = Env()

REQUEST_SLOTS = 8
"""Requests that one process works on at once, each with a connection to the database of its own."""

BLOCKING_THREADS = 64
"""The server's threads in each process: those that work, and beside them those that wait for a
provider or a client, without a connection."""


PROXY_THREADS = 320
"""The proxy's threads in each process: so many requests are under way at once. They wait for
providers most of the time, and hold no database connection meanwhile."""


def read_boolean(name: str, *, default: bool) -> bool:
    try:
        return bool(env.bool(name, default=default))
    except EnvError:
        raise ImproperlyConfigured(f"{name} must be 1 or 0.") from None


def read_number(name: str, *, default: int) -> int:
    try:
        return int(env.int(name, default=default))
    except EnvError:
        raise ImproperlyConfigured(f"{name} must be a whole number.") from None


def read_required(name: str, *, how: str) -> str:
    value = str(env.str(name, default="")).strip()
    if not value:
        raise ImproperlyConfigured(f"{name} is missing: {how}")
    return value


def read_secret_key(*, debug: bool, folder: Path) -> str:
    """SECRET_KEY of at least 50 characters; with DEBUG, one is made once and kept in `folder`."""
    how = "set it to at least 50 random characters, for example: openssl rand -base64 48"
    value = str(env.str("SECRET_KEY", default=""))
    if not value and debug:
        return _kept(folder / "secret.key")
    if len(read_required("SECRET_KEY", how=how)) < 50:
        raise ImproperlyConfigured(f"SECRET_KEY is too short: {how}")
    return value


def parse_database_url(url: str) -> dict[str, Any]:
    """DATABASES["default"] for `url`: postgresql://user:password@host:port/name or sqlite:///file."""
    how = "write postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH"
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError, dj_database_url.ParseError, dj_database_url.UnknownSchemeError):
        # The URL may hold a password, so it is not repeated.
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {how}.") from None
    if not found.get("NAME"):
        raise ImproperlyConfigured(f"DATABASE_URL names no database: {how}.")
    engine = str(found["ENGINE"]).rsplit(".", 1)[-1]
    if engine not in _OPTIONS:
        raise ImproperlyConfigured(f"DATABASE_URL is of an unsupported kind: {how}.")
    found["OPTIONS"] = {**found.get("OPTIONS", {}), **_OPTIONS[engine]}
    if engine == "postgresql":
        found["ENGINE"] = "config.postgresql"
    return found


def read_cache_url(name: str) -> dict[str, Any]:
    """CACHES["default"]: memory of this process unless `name` says otherwise."""
    try:
        return dict(django_cache_url.parse(env.str(name, default="locmem://")))
    except Exception:  # The library raises Exception itself for a scheme it does not know.
        raise ImproperlyConfigured(
            f"{name} cannot be read: write for example redis://HOST/0."
        ) from None


def read_email_url(name: str) -> dict[str, Any]:
    """Django's mail settings for an `smtp://` URL. Without one: no mail, which health notes then say."""
    how = "write submission://USER:PASSWORD@HOST:587/?_default_from_email=ADDRESS"
    try:
        found: dict[str, Any] = dj_email_url.parse(str(env.str(name, default="")) or "dummy://")
    except (ValueError, KeyError):
        # It may hold a password, so it is not repeated.
        raise ImproperlyConfigured(f"{name} cannot be read: {how}.") from None
    if "EMAIL_BACKEND" not in found:
        raise ImproperlyConfigured(f"{name} is of an unsupported kind: {how}.")
    if found["EMAIL_BACKEND"].endswith(".smtp.EmailBackend") and not found["EMAIL_HOST"]:
        raise ImproperlyConfigured(f"{name} names no host: {how}.")
    return found


def read_folder(name: str) -> str:
    """The path of an existing folder, or "" where `name` is not set."""
    value = str(env.str(name, default=""))
    if value and not Path(value).is_dir():
        raise ImproperlyConfigured(f"{name} is not a folder: name one, or leave it unset.")
    return value


_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {
        # Two seconds of attempts, and new ones when somebody asks: the pool would wait twice as long
        # after each that failed, up to minutes, and be down for as long again as the server was.
        "pool": {"min_size": 1, "max_size": REQUEST_SLOTS, "timeout": 2, "reconnect_timeout": 2},
        "connect_timeout": 3,
        # A server that is cut off says nothing: without these Linux waits a quarter of an hour for it.
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 2,
        # A statement seen five times is prepared: planning a list takes longer than reading its page.
        "server_side_binding": True,
        "prepare_threshold": 5,
        "options": (
            "-c statement_timeout=15000 -c lock_timeout=5000"
            " -c idle_in_transaction_session_timeout=60000"
        ),
    },
    "sqlite3": {
        # A write transaction takes its lock at BEGIN, so that it waits instead of failing half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    },
}


def _kept(file: Path) -> str:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(48))
    return file.read_text()
