"""Metrics that are read from the database, and the Host of monitors."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.db import OperationalError
from django.test import Client

from config import database_metrics
from config.dashboard.models import Statistics


def read_metrics(**headers) -> str:
    return Client(**headers).get("/metrics").content.decode()


def test_the_database_and_waiting_work_are_reported(db):
    now = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
    Statistics.objects.create(id=1, counted_at=now, figures={"health": {"ok": 3, "error": 1}})
    text = read_metrics()
    assert "latchkey_database_up 1.0" in text
    assert 'latchkey_credentials{health="error"} 1.0' in text
    seen = re.search(r"^latchkey_worker_last_seen_timestamp_seconds (.+)$", text, re.MULTILINE)
    assert seen
    assert float(seen[1]) == now.timestamp()
    assert "# TYPE latchkey_task_overdue_seconds gauge" in text


def test_an_unavailable_database_is_reported(db, monkeypatch):
    def fail() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(database_metrics, "measure_backlog", fail)
    text = read_metrics()
    assert "latchkey_database_up 0.0" in text
    assert "latchkey_requests_total" in text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_monitors_may_address_the_process_by_its_ip(db, path):
    assert Client(HTTP_HOST="10.0.3.7:8000").get(path).status_code in {200, 503}


def test_other_paths_need_a_known_host(db):
    assert Client(HTTP_HOST="10.0.3.7:8000").get("/admin/login/").status_code == 400
