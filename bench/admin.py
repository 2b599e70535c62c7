"""`tools/with-postgres python -m bench.admin`: how long the staff's pages take on many credentials, as Markdown."""

from __future__ import annotations

import statistics as middle
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import environment
from bench.bodies import body

if TYPE_CHECKING:
    from bench.fill import Filled

TIMES = 5


def main() -> None:
    show(environment.filled(__doc__))


def show(filled: Filled) -> None:
    """Print the median and the longest of TIMES runs of each page, and its number of queries."""
    from config.dashboard.statistics import refresh_statistics_if_due

    browser = _browser()
    started = time.monotonic()
    refresh_statistics_if_due()
    print(f"The worker counts in {time.monotonic() - started:.2f} s\n")
    print("| page | median ms | longest ms | queries | rows |\n|-|-|-|-|-|")
    for name, address in _pages(filled):
        print(_line(name, partial(browser.get, address)), flush=True)
    print(_line("a leaked secret", _sought(browser, filled)), flush=True)


def _browser() -> Any:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client
    from django.test.utils import setup_test_environment

    setup_test_environment()  # Responses then say which rows they show.
    settings.SECURE_SSL_REDIRECT = False
    browser = Client()
    browser.force_login(User.objects.create_superuser("bench"))
    return browser


def _line(name: str, ask: Callable[[], Any]) -> str:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    ask()
    seconds = []
    for _ in range(TIMES):
        started = time.monotonic()
        response = ask()
        seconds.append(time.monotonic() - started)
        assert response.status_code == 200, (name, response.status_code)
    with CaptureQueriesContext(connection) as queries:
        response = ask()
    shown = response.context.get("cl")
    rows = len(shown.result_list) if shown else ""
    median, longest = middle.median(seconds) * 1000, max(seconds) * 1000
    return f"| {name} | {median:.0f} | {longest:.0f} | {len(queries)} | {rows} |"


def _sought(browser: Any, filled: Filled) -> Callable[[], Any]:
    """Return the page that searches for the refresh token of a credential in the middle."""
    number = filled.count // 20 * 10 + 3
    secret = body(number, filled.apps)["properties"]["refresh_token"]
    sent = {"account": str(filled.account_id), "secret": secret}

    def ask() -> Any:
        page = browser.post("/admin/credentials/credential/find-secret/", sent)
        assert [row.pk for row in page.context["found"]] == [filled.id(number)]
        return page

    return ask


def _pages(filled: Filled) -> Iterator[tuple[str, str]]:
    def at(number: int) -> str:
        return str(filled.id(number))

    half = filled.count // 2
    yield "dashboard", "/admin/"
    lists = "/admin/credentials/credential/"
    for name, query in (
        ("list, first page", ""),
        ("list, page in the middle", f"before={at(half)}"),
        ("list, back from the middle", f"after={at(half)}"),
        ("list, the oldest page", f"before={at(50)}"),
        ("account", f"account={filled.account_id}"),
        ("provider, 2 in 10", "provider=salesforce"),
        ("provider, 1 in 1,000", "provider=airtable"),
        ("provider, none", "provider=acuity"),
        ("kind, 1 in 10", "kind=linear_oauth2"),
        ("health, 1 in 1,000", "health=error"),
        ("health, 9 in 10", "health=ok"),
        ("OAuth app, 1 in 10", f"oauth_app={filled.apps['linear']}"),
        ("expires within 7 days", "expires=7"),
        ("has expired", "expires=past"),
        ("has no end", "expires=never"),
        ("used in the last 24 hours, 1 in 5", "used=1"),
        ("never used, 4 in 5", "used=never"),
        ("not used in 30 days, none", "used=not30"),
        ("metadata, 1 in 4", "metadata_key=plan&metadata_value=team"),
        ("metadata, one row", f"metadata_key=customer_id&metadata_value=cus_{half:08}"),
        ("metadata, none", "metadata_key=customer_id&metadata_value=nobody"),
        ("provider and health", "provider=stripe&health=error"),
        ("account and metadata", f"account={filled.account_id}&metadata_key=plan&metadata_value=team"),
        ("search, an id", f"q={at(half)}"),
        ("search, a part of 1 name in 10", "q=arrakis"),
        ("search, a part of few names", f"q={half}"),
        ("search, no name", "q=nobody-has-this-name"),
        ("search, an owner", "q=example.com"),
    ):  # fmt: skip
        yield name, f"{lists}?{query}"
    yield "one credential", f"{lists}{at(half)}/change/"
    yield "its history", f"{lists}{at(half)}/history/"
    yield "events", "/admin/events/event/"


if __name__ == "__main__":
    main()
