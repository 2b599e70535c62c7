from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.test import TransactionTestCase

from accounts.models import Account
from accounts.password_hashing import password_checks
from accounts.rate_limits import forget_overrides, rate_limiter
from tests.api import ApiClient
from tests.database import copy_template, delete_rows, save_template
from tests.factories import make_account, make_token

# The same examples in each run, and no time limit for one: a run fails because of the code, never
# because of chance or of a busy machine. PROPERTY_EXAMPLES=1000 tries as many new ones instead.
_EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "0"))
hypothesis.settings.register_profile(
    "latchkey",
    max_examples=_EXAMPLES or 50,
    derandomize=not _EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("latchkey")


@pytest.fixture(scope="session", autouse=True)
def _no_name_resolution() -> Iterator[None]:
    """Resolve no host name but this machine's, so that no test reaches a provider."""
    resolve = socket.getaddrinfo

    def resolve_local(host: Any, *args: Any, **options: Any) -> Any:
        if host in {None, "", "localhost", "127.0.0.1", "::1"}:
            return resolve(host, *args, **options)
        raise socket.gaierror(socket.EAI_NONAME, "tests resolve no host names")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve_local)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: delete_rows())
        yield


@pytest.fixture(autouse=True)
def _no_counted_passwords() -> None:
    """Forget which addresses tried passwords, because all tests have the same one."""
    password_checks.clear()
    rate_limiter.clear()
    forget_overrides()


@pytest.fixture
def account(db: None) -> Account:
    return make_account("Acme")


@pytest.fixture
def other_account(db: None) -> Account:
    return make_account("Other")


@pytest.fixture
def api(account: Account) -> ApiClient:
    """Return a client with every scope in `account`."""
    return ApiClient(make_token(account))


@pytest.fixture
def other_api(other_account: Account) -> ApiClient:
    """Return a client with every scope in another account."""
    return ApiClient(make_token(other_account))


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_modify_db_settings: None) -> bool:
    """Return whether a migrated database was put in place, so that pytest-django creates none."""
    return copy_template()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_keepdb: bool, django_db_blocker: Any) -> None:
    """Set up the database and keep a copy for later runs if it was migrated from scratch."""
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            save_template()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--uses-database",
        action="store_true",
        help="run only the tests that use the database: the others are the same on each",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--uses-database"):
        rest = [item for item in items if not _uses_database(item)]
        config.hook.pytest_deselected(items=rest)
        items[:] = [item for item in items if _uses_database(item)]


def _uses_database(item: pytest.Item) -> bool:
    # What the browser does is the same on each database, and its requests are made without it too.
    if any(item.get_closest_marker(name) for name in ("one_database", "browser")):
        return False
    fixtures = {"db", "transactional_db", "live_server"} & set(getattr(item, "fixturenames", ()))
    marks = [item.get_closest_marker(name) for name in ("django_db", "both_databases")]
    return bool(fixtures) or any(marks)
