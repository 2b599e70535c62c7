from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from common.health import build_unknown_health
from config.dashboard import charts
from config.dashboard.models import Statistics
from config.dashboard.statistics import REFRESH_INTERVAL, get_statistics, refresh_statistics_if_due
from credentials.models import Credential
from tests.admin.pages import text
from tests.factories import make_app, make_credential, make_linear_body, make_stripe_body


def mark_broken(row: Credential) -> None:
    health = {
        **build_unknown_health(timezone.now()),
        "status": "error",
        "notes": ["It was refused."],
    }
    Credential.objects.filter(pk=row.pk).update(health=health)


def stored() -> dict[str, Any]:
    figures = Statistics.objects.get().figures
    assert figures is not None
    return dict(figures)


@pytest.fixture
def some(account: Account) -> None:
    make_credential(account, make_linear_body(make_app(account), name="Linear one"))
    mark_broken(make_credential(account, make_stripe_body(name="Broken one")))
    soon = make_credential(account, make_stripe_body(name="Ending one"))
    Credential.objects.filter(pk=soon.pk).update(expires_at=timezone.now() + dt.timedelta(days=2))


@pytest.mark.usefixtures("some")
def test_dashboard_has_counts_lists_and_events(browser: Client) -> None:
    shown = text(browser.get("/admin/"))
    assert "Credentials by health: 2 unknown, 0 ok, 0 warn, 1 error." in shown
    assert "It was refused." in shown
    assert "Broken one" in shown
    assert "Ending one" in shown
    assert "/admin/credentials/credential/?health=error" in shown
    assert "/admin/credentials/credential/?provider=linear" in shown
    assert "credential.created" in shown


@pytest.mark.usefixtures("some")
def test_dashboard_links_filter_the_list(browser: Client) -> None:
    for query, name in (("health=error", "Broken one"), ("expires=7", "Ending one")):
        response = browser.get(f"/admin/credentials/credential/?{query}")
        assert [row.name for row in response.context["cl"].result_list] == [name]


@pytest.mark.usefixtures("some")
def test_counts_of_few_credentials_are_current(browser: Client) -> None:
    refresh_statistics_if_due()
    mark_broken(Credential.objects.get(name="Ending one"))
    assert "Credentials by health: 1 unknown, 0 ok, 0 warn, 2 error." in text(
        browser.get("/admin/")
    )


@pytest.mark.usefixtures("some")
def test_dashboard_does_not_count_many_credentials(
    browser: Client, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.dashboard.statistics.MAX_LIVE_COUNT", 2)
    refresh_statistics_if_due()
    with django_assert_max_num_queries(15) as queries:
        shown = text(browser.get("/admin/"))
    assert "Credentials by health: 2 unknown, 0 ok, 0 warn, 1 error." in shown
    statements = [query["sql"] for query in queries.captured_queries]
    assert not [sql for sql in statements if "COUNT(" in sql or "GROUP BY" in sql]


@pytest.mark.usefixtures("some")
def test_few_credentials_are_recognized_without_a_full_count(
    browser: Client, django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.dashboard.statistics.MAX_LIVE_COUNT", 2)
    with django_assert_max_num_queries(15) as queries:
        browser.get("/admin/")
    counts = [q["sql"] for q in queries.captured_queries if "COUNT(" in q["sql"]]
    assert len(counts) == 1
    assert "LIMIT 3" in counts[0]


def test_worker_counts_once_in_five_minutes(account: Account) -> None:
    assert refresh_statistics_if_due()
    make_credential(account)
    assert not refresh_statistics_if_due()
    assert stored()["total"] == 0
    Statistics.objects.update(
        counted_at=timezone.now() - REFRESH_INTERVAL - dt.timedelta(seconds=5)
    )
    assert refresh_statistics_if_due()
    assert stored()["total"] == 1


@pytest.mark.django_db
def test_a_claimed_count_is_not_started_again(account: Account) -> None:
    Statistics.objects.create(claimed_until=timezone.now() + dt.timedelta(minutes=1))
    assert not refresh_statistics_if_due()
    Statistics.objects.update(claimed_until=timezone.now() - dt.timedelta(minutes=1))
    assert refresh_statistics_if_due()


def test_many_credentials_are_counted_by_the_worker(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.dashboard.statistics.MAX_LIVE_COUNT", 1)
    for _ in range(2):
        make_credential(account)
    assert get_statistics() is None
    assert "Not counted yet." in text(browser.get("/admin/"))
    refresh_statistics_if_due()
    found = get_statistics()
    assert found is not None
    assert found.total == 2


def test_counts_of_weeks_are_cumulative(account: Account) -> None:
    old, new = make_credential(account), make_credential(account)
    now = timezone.now()
    Credential.objects.filter(pk=old.pk).update(created_at=now - dt.timedelta(weeks=60))
    Credential.objects.filter(pk=new.pk).update(created_at=now)
    refresh_statistics_if_due()
    weeks = stored()["weeks"]
    assert (weeks[0], weeks[-2], weeks[-1]) == (1, 1, 2)


def test_dashboard_hides_what_staff_may_not_view(staff_client: Any) -> None:
    shown = text(staff_client().get("/admin/"))
    assert "Broken" not in shown
    assert "Latest events" not in shown


@pytest.mark.parametrize(
    ("value", "top"), [(0, 4), (4, 4), (5, 8), (9, 20), (452, 800), (10**6, 2 * 10**6)]
)
def test_axis_ends_at_a_round_number(value: int, top: int) -> None:
    assert charts.round_up_axis(value) == top


def test_chart_has_a_text_alternative() -> None:
    shown = charts.draw_line_chart(dt.date(2026, 6, 1), [1, 2, 3])
    assert 'role="img" aria-label="Credentials over 3 weeks: from 1 to 3."' in shown
    assert "style=" not in shown
