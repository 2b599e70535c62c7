"""A server whose clock is wrong says so in /readyz."""

from __future__ import annotations

import pytest

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
