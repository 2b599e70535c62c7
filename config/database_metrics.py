"""Metrics that are read from the database for each scrape: waiting work, workers, credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db import DatabaseError, InterfaceError
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

from config.dashboard.models import Statistics
from config.task_backlog import get_last_worker_time, measure_backlog


class DatabaseCollector:
    """The metrics. Each is labelled by nothing that a customer chooses."""

    def collect(self) -> Iterator[Metric]:
        is_up = 1
        try:
            yield from self._read()
        except (DatabaseError, InterfaceError):
            is_up = 0
        yield GaugeMetricFamily(
            "latchkey_database_up", "1 if the database responded to this scrape.", value=is_up
        )

    def _read(self) -> Iterator[Metric]:
        backlog = GaugeMetricFamily(
            "latchkey_task_overdue_seconds",
            "Age of the first piece of work that is due, by task; 0 if none is.",
            labels=["task"],
        )
        for task, seconds in measure_backlog().items():
            backlog.add_metric([task], seconds)
        yield backlog
        if worked_at := get_last_worker_time():
            yield GaugeMetricFamily(
                "latchkey_worker_last_seen_timestamp_seconds",
                "When a worker last did its regular work, at most every five minutes.",
                value=worked_at.timestamp(),
            )
        credentials = GaugeMetricFamily(
            "latchkey_credentials",
            "Credentials by health, as a worker last counted them.",
            labels=["health"],
        )
        row = Statistics.objects.first()
        figures = None if row is None else row.figures
        for health, count in (figures["health"] if figures else {}).items():
            credentials.add_metric([health], count)
        yield credentials


REGISTRY: Final = CollectorRegistry()
REGISTRY.register(DatabaseCollector())


def render_database_metrics() -> bytes:
    """Return the text of the metrics."""
    return generate_latest(REGISTRY)
