"""Environment variables: an invalid one becomes one sentence that says what to do."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
import dj_email_url
import django_cache_url
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from environs import Env, EnvError

env = Env()

REQUEST_SLOTS = 8
"""Requests that one process works on at once, each with its own database connection."""

BLOCKING_THREADS = 64
"""Threads of the server in each process: those with a request slot, and those that wait for a
provider or a client without a slot and without a connection."""


PROXY_THREADS = 320
"""Threads of the proxy in each process, which is also its limit of concurrent requests. They wait
for providers most of the time, without a database connection."""


def read_boolean(name: str, *, default: bool) -> bool:
    """Return a variable that is 1 or 0."""
    try:
        return bool(env.bool(name, default=default))
    except EnvError:
        raise ImproperlyConfigured(f"{name} must be 1 or 0.") from None


def read_number(name: str, *, default: int) -> int:
    """Return a variable that is a whole number."""
    try:
        return int(env.int(name, default=default))
    except EnvError:
        raise ImproperlyConfigured(f"{name} must be a whole number.") from None


def read_addresses(name: str) -> list[str]:
    """Return the e-mail addresses of a variable that lists them with commas."""
    parts = str(env.str(name, default="")).split(",")
    addresses = [address for part in parts if (address := part.strip())]
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            raise ImproperlyConfigured(f"{name} must list e-mail addresses with commas.") from None
    return addresses


def read_public_url(*, default: str) -> str:
    """Return PUBLIC_URL without a slash at its end: a scheme, a host and perhaps a port."""
    value = str(env.str("PUBLIC_URL", default=default)).strip().rstrip("/")
    if not value:
        raise ImproperlyConfigured(
            "PUBLIC_URL is missing: set it to this service's https:// address."
        )
    # The value is not repeated, as it may contain a password.
    how = "set it to a scheme, a host and perhaps a port, such as https://keys.example.com."
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in {"https", "http"} and parts.hostname and parts.port != 0
    except ValueError:  # A port that is no number, or half an IPv6 address.
        is_valid = False
    if not is_valid:
        raise ImproperlyConfigured(f"PUBLIC_URL is not an https:// address: {how}")
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or set(value) & set("?#"):
        raise ImproperlyConfigured(
            f"PUBLIC_URL must not have a path, a query or a user, as Latchkey needs a host of its own: {how}"
        )
    return value


def read_webhook_secret(name: str, *, required_by: str) -> str:
    """Return a secret of Standard Webhooks, which must be set if the variable `required_by` is."""
    secret = str(env.str(name, default=""))
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < 24 and (secret or env.str(required_by, default="")):
        raise ImproperlyConfigured(
            f"{name} must be whsec_ and at least 24 random bytes in base64, for example:"
            ' echo "whsec_$(openssl rand -base64 32)"'
        )
    return secret


def read_required(name: str, *, how: str) -> str:
    """Return a variable that must be set; `how` says to what."""
    value = str(env.str(name, default="")).strip()
    if not value:
        raise ImproperlyConfigured(f"{name} is missing: {how}")
    return value


def read_secret_key(*, debug: bool, folder: Path) -> str:
    """Return SECRET_KEY, of at least 50 characters.

    With DEBUG and without the variable, a key is generated once and stored in `folder`.
    """
    how = "set it to at least 50 random characters, for example: openssl rand -base64 48"
    value = str(env.str("SECRET_KEY", default=""))
    if not value and debug:
        file = folder / "secret.key"
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(48))
        return file.read_text()
    if len(read_required("SECRET_KEY", how=how)) < 50:
        raise ImproperlyConfigured(f"SECRET_KEY is too short: {how}")
    return value


def parse_database_url(url: str) -> dict[str, Any]:
    """Return DATABASES["default"] for postgresql://user:password@host:port/name or sqlite:///file."""
    how = "write postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH"
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError, dj_database_url.ParseError, dj_database_url.UnknownSchemeError):
        # The URL may contain a password, so it is not repeated.
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {how}.") from None
    if not database.get("NAME"):
        raise ImproperlyConfigured(f"DATABASE_URL names no database: {how}.")
    engine = str(database["ENGINE"]).rsplit(".", 1)[-1]
    if engine not in _OPTIONS:
        raise ImproperlyConfigured(f"DATABASE_URL is of an unsupported kind: {how}.")
    database["OPTIONS"] = {**database.get("OPTIONS", {}), **_OPTIONS[engine]}
    if engine == "postgresql":
        database["ENGINE"] = "config.postgresql"
    return database


def read_cache_url(name: str) -> dict[str, Any]:
    """Return CACHES["default"]: the memory of this process, unless the variable is set."""
    try:
        return dict(django_cache_url.parse(env.str(name, default="locmem://")))
    # The library raises Exception itself for an unknown scheme.
    except Exception:
        raise ImproperlyConfigured(
            f"{name} cannot be read: write for example redis://HOST/0."
        ) from None


def read_email_url(name: str) -> dict[str, Any]:
    """Return Django's mail settings for an `smtp://` URL. Without one, no mail is sent."""
    how = "write submission://USER:PASSWORD@HOST:587/?_default_from_email=ADDRESS"
    try:
        mail: dict[str, Any] = dj_email_url.parse(str(env.str(name, default="")) or "dummy://")
    except (ValueError, KeyError):
        # The URL may contain a password, so it is not repeated.
        raise ImproperlyConfigured(f"{name} cannot be read: {how}.") from None
    if "EMAIL_BACKEND" not in mail:
        raise ImproperlyConfigured(f"{name} is of an unsupported kind: {how}.")
    if mail["EMAIL_BACKEND"].endswith(".smtp.EmailBackend") and not mail["EMAIL_HOST"]:
        raise ImproperlyConfigured(f"{name} names no host: {how}.")
    return mail


def read_folder(name: str) -> str:
    """Return the path of an existing folder, or "" if the variable is not set."""
    value = str(env.str(name, default=""))
    if value and not Path(value).is_dir():
        raise ImproperlyConfigured(f"{name} is not a folder: name one, or leave it unset.")
    return value


_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {
        # Two seconds of attempts, then new ones on demand. By default the pool doubles its waits
        # up to minutes, and would stay down for as long again as the server was.
        "pool": {"min_size": 1, "max_size": REQUEST_SLOTS, "timeout": 2, "reconnect_timeout": 2},
        "connect_timeout": 3,
        # A server that lost its network sends nothing: Linux would wait for a quarter of an hour.
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 2,
        # A statement that was run five times is prepared: planning a list takes longer than
        # reading its page.
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
