"""/readyz: a wrong clock, missing migrations, and a response that is kept for a short time."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext

from config import health_endpoints

pytestmark = pytest.mark.django_db


def test_a_right_clock_is_not_mentioned(client):
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("database_is_ahead", "wanted"), [(45, "behind"), (-45, "ahead of"), (365 * 86400, "behind")]
)
def test_a_wrong_clock_is_named(client, settings, database_is_ahead, wanted):
    settings.CLOCK_SHIFT_SECONDS = database_is_ahead
    response = client.get("/readyz")
    assert response.status_code == 200
    (warning,) = response.json()["warnings"]
    assert wanted in warning
    assert f"{abs(database_is_ahead)} s" in warning


def test_the_threshold_is_configured(client, settings):
    settings.CLOCK_SHIFT_SECONDS = 45
    settings.MAX_CLOCK_DIFFERENCE = 60
    assert "warnings" not in client.get("/readyz").json()


def test_a_process_repeats_its_response_for_a_short_time(client, settings, monkeypatch):
    monkeypatch.setattr(health_endpoints, "_checked", health_endpoints._Check({}, 0.0))
    settings.READINESS_SECONDS = 3600
    assert client.get("/readyz").json() == {"status": "ok"}
    settings.CLOCK_SHIFT_SECONDS = 45
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/readyz").json() == {"status": "ok"}
    assert not captured.captured_queries


def test_a_missing_migration_is_named(client):
    newest = max(name for app, name in health_endpoints.list_migrations() if app == "credentials")
    MigrationRecorder(connection).record_unapplied("credentials", newest)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["missing"] == "migrations"
