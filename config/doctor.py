"""The checks of `manage.py doctor`: each says that something works, or what to do about it."""

from __future__ import annotations

import smtplib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from django.conf import settings
from django.core import checks, mail
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor

from common.db import dialect
from common.db.clock import db_now, measure_clock_difference
from config.database_role import find_excess_rights
from config.health_endpoints import describe_clock_difference
from config.task_backlog import WORKER_TIMEOUT, get_last_worker_time, measure_backlog
from credentials.refresh.spool import count_spool_files
from credentials.restore.services import find_undecided_restore
from egress import Client
from egress.errors import BlockedByPolicyError, EgressError
from egress.policy import allowed_targets
from egress.requests import Request
from vault.keyring import get_keyring
from vault.services import verify_keyring

OK: Final = "ok"
WARNING: Final = "warning"
ERROR: Final = "error"

MAX_BACKLOG: Final = 300.0
"""Seconds that due work may wait before it is reported."""


class Finding(NamedTuple):
    """The result of one check. `level` is OK, WARNING or ERROR."""

    level: str
    subject: str
    text: str


def run_checks(*, egress_url: str) -> Iterator[Finding]:
    """Yield the findings, one check after the other. No check changes anything.

    Without a database, the checks that need one are left out.
    """
    yield from _check_settings()
    database = list(_report_errors("database", _check_database))
    yield from database
    if all(finding.level != ERROR for finding in database):
        for subject, check in _DATABASE_CHECKS.items():
            yield from _report_errors(subject, check)
    yield from _check_spool()
    yield from _check_egress(egress_url)
    yield from _check_mail()


def _report_errors(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what `check` finds, and an error of the database or of a setting as a finding."""
    try:
        yield from check()
    except (DatabaseError, InterfaceError, ImproperlyConfigured) as error:
        # The driver's text names host and reason; the password is in neither.
        yield Finding(ERROR, subject, " ".join(str(error).split())[:300])


def _check_settings() -> Iterator[Finding]:
    messages = [
        message
        for message in checks.run_checks(include_deployment_checks=not settings.DEBUG)
        if message.level >= checks.WARNING and not message.is_silenced()
    ]
    for message in messages:
        level = ERROR if message.is_serious() else WARNING
        hint = f" {message.hint}" if message.hint else ""
        yield Finding(level, "settings", f"{message.msg}{hint} ({message.id})")
    if settings.DEBUG:
        yield Finding(
            WARNING, "settings", "DEBUG is 1: unset it on a server that others can reach."
        )
    elif not messages:
        yield Finding(OK, "settings", f"complete, for {settings.PUBLIC_URL}")


def _check_database() -> Iterator[Finding]:
    connection.ensure_connection()
    name = dialect.fetch_on_postgresql(
        "'PostgreSQL ' || current_setting('server_version') || ' as ' || current_user",
        sqlite="SQLite",
    )
    executor = MigrationExecutor(connection)
    if plan := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        yield Finding(
            ERROR, "database", f"{len(plan)} migrations are missing: run manage.py migrate."
        )
    else:
        yield Finding(OK, "database", f"{name}, with all migrations")


def _check_role() -> Iterator[Finding]:
    if excess := find_excess_rights():
        yield Finding(
            WARNING,
            "role",
            f"The role of DATABASE_URL {', '.join(excess)}: use a role of its own, and run manage.py"
            " grant_rights for it as the owner.",
        )
    else:
        yield Finding(OK, "role", "has no more rights than it needs")


def _check_keys() -> Iterator[Finding]:
    verify_keyring()
    ids = get_keyring().ids
    yield Finding(OK, "keys", f"{ids[0]} encrypts; {len(ids)} in all fit this database")


def _check_clock() -> Iterator[Finding]:
    difference = measure_clock_difference()
    if abs(difference) > settings.MAX_CLOCK_DIFFERENCE:
        text = describe_clock_difference(difference)
        yield Finding(WARNING, "clock", f"{text} Let NTP set both machines.")
    else:
        yield Finding(OK, "clock", f"{abs(difference):.1f} s from the database's")


def _check_restore() -> Iterator[Finding]:
    if find_undecided_restore():
        yield Finding(
            WARNING,
            "restore",
            "The database was restored, and grants wait for a decision: see manage.py restored.",
        )


def _check_worker() -> Iterator[Finding]:
    last, now = get_last_worker_time(), db_now()
    if last is None or now - last > WORKER_TIMEOUT:
        since = "yet" if last is None else f"since {last:%Y-%m-%d %H:%M} UTC"
        yield Finding(ERROR, "worker", f"No worker has run {since}: start manage.py worker.")
        return
    late = {name: age for name, age in measure_backlog().items() if age > MAX_BACKLOG}
    if late:
        tasks = ", ".join(f"{name} {age / 60:.0f} min" for name, age in late.items())
        yield Finding(
            WARNING,
            "worker",
            f"Due work waits ({tasks}): see whether a provider or an OAuth app is paused, then start"
            " another worker.",
        )
    else:
        yield Finding(OK, "worker", f"active at {last:%H:%M} UTC, and no due work waits")


def _check_spool() -> Iterator[Finding]:
    folder = Path(settings.SPOOL_DIR)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            waiting = count_spool_files()
    except OSError as error:
        text = f"SPOOL_DIR {folder} cannot be written ({error.strerror}): give it to this user."
        yield Finding(ERROR, "spool", text)
        return
    if waiting:
        yield Finding(
            WARNING,
            "spool",
            f"{waiting} files wait for the database: a worker on this machine stores them.",
        )
    else:
        yield Finding(OK, "spool", f"{folder} is empty and can be written")


def _check_egress(url: str) -> Iterator[Finding]:
    client = Client(allow=allowed_targets())
    try:
        response = client.send(Request(method="HEAD", url=url))
    except BlockedByPolicyError as error:
        yield Finding(ERROR, "egress", f"{error}. Name another address, or see EGRESS_ALLOW.")
    except EgressError as error:
        yield Finding(
            ERROR,
            "egress",
            f"{error}. Allow DNS and outbound TCP 443 from this machine; proxies are not used.",
        )
    else:
        yield Finding(OK, "egress", f"{url} responded with {response.status}")
    finally:
        client.close()


def _check_mail() -> Iterator[Finding]:
    if not settings.EMAIL_BACKEND.endswith(".smtp.EmailBackend"):
        yield Finding(WARNING, "mail", "No mail is sent: set EMAIL_URL, or owners hear of nothing.")
        return
    backend = mail.get_connection()
    try:
        backend.open()
        backend.close()
    except (OSError, smtplib.SMTPException) as error:
        # A server may repeat the user name, never the password.
        reason = " ".join(str(error).split())[:200]
        yield Finding(ERROR, "mail", f"{settings.EMAIL_HOST}: {reason}. Correct EMAIL_URL.")
    else:
        yield Finding(OK, "mail", f"{settings.EMAIL_HOST} accepts the login")


_DATABASE_CHECKS: Final = {
    "role": _check_role,
    "keys": _check_keys,
    "clock": _check_clock,
    "restore": _check_restore,
    "worker": _check_worker,
}
