"""Log lines repeat nothing that an anonymous client sent."""

from __future__ import annotations

import logging

import pytest

from config.logging import shorten_security_record


def build_record(name: str) -> logging.LogRecord:
    error = ValueError("Invalid HTTP_HOST header: 'canary.example'")
    info = (ValueError, error, None)
    return logging.LogRecord(name, logging.ERROR, __file__, 1, str(error), (), info)


def test_a_rejected_request_is_logged_without_its_text_and_traceback():
    record = build_record("django.security.DisallowedHost")
    assert shorten_security_record(record)
    assert record.getMessage() == "request rejected: DisallowedHost"
    assert record.exc_info is None


def test_other_records_keep_their_traceback():
    record = build_record("latchkey")
    assert shorten_security_record(record)
    assert record.exc_info is not None


@pytest.mark.django_db
def test_a_wrong_host_is_logged_under_the_name_that_is_shortened(client, caplog):
    assert client.get("/admin/login/", HTTP_HOST="canary.example").status_code == 400
    assert "django.security.DisallowedHost" in {record.name for record in caplog.records}


def test_the_handler_of_every_process_shortens_records():
    filters = [f for handler in logging.getLogger().handlers for f in handler.filters]
    assert shorten_security_record in filters
