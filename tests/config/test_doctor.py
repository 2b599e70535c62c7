"""`manage.py doctor` and the system checks of our own settings."""

from __future__ import annotations

import datetime as dt
import io
import json
import socket
import tempfile
import threading

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import connection

from config import doctor
from config.checks import check_deployment
from config.dashboard.models import Statistics
from config.doctor import ERROR, OK, WARNING

NOWHERE = "http://127.0.0.1:9/"


def run_doctor(**options) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit code, and level and text by subject."""
    output = io.StringIO()
    code = 0
    try:
        call_command("doctor", json=True, stdout=output, **{"egress_url": NOWHERE, **options})
    except SystemExit as ended:
        code = 1 if ended.code else 0
    findings = [json.loads(line) for line in output.getvalue().splitlines()]
    return code, {found["subject"]: (found["level"], found["text"]) for found in findings}


@pytest.fixture(autouse=True)
def _no_system_checks(monkeypatch):
    """Leave out Django's checks, which validate every provider file for each test."""
    monkeypatch.setattr(checks, "run_checks", lambda **_: [])


@pytest.fixture
def working_worker(db):
    Statistics.objects.update_or_create(
        id=1, defaults={"counted_at": dt.datetime.now(dt.UTC), "figures": {"health": {"ok": 3}}}
    )


@pytest.fixture
def spool(settings, tmp_path):
    settings.SPOOL_DIR = str(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def web_server(settings):
    """Return the URL of a server that responds with 204."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings.EGRESS_ALLOW = f"127.0.0.1:{port}"

        def respond() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=respond, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}/"
        thread.join(timeout=5)


def test_a_working_installation_has_no_error(working_worker, spool, web_server):
    code, found = run_doctor(egress_url=web_server)
    assert code == 0, found
    for subject in ("database", "keys", "clock", "worker", "spool", "egress"):
        assert found[subject][0] == OK, found[subject]
    # The tests own their tables on PostgreSQL.
    assert found["role"][0] == (WARNING if connection.vendor == "postgresql" else OK)


def test_a_wrong_setting_is_an_error_with_its_remedy(working_worker, spool, monkeypatch):
    message = checks.Warning("PUBLIC_URL is not https.", hint="Terminate TLS.", id="config.W001")
    monkeypatch.setattr(checks, "run_checks", lambda **_: [message])
    found = run_doctor()[1]["settings"]
    assert found == (WARNING, "PUBLIC_URL is not https. Terminate TLS. (config.W001)")


def test_missing_workers_are_an_error(db, spool):
    code, found = run_doctor()
    assert code == 1
    assert found["worker"] == (ERROR, "No worker has run yet: start manage.py worker.")


def test_a_worker_that_stopped_is_an_error(working_worker, spool):
    Statistics.objects.update(counted_at=dt.datetime.now(dt.UTC) - dt.timedelta(hours=2))
    assert run_doctor()[1]["worker"][0] == ERROR


def test_waiting_work_is_a_warning(working_worker, spool, monkeypatch):
    monkeypatch.setattr(doctor, "measure_backlog", lambda: {"refreshes": 1200.0, "mail": 1.0})
    level, text = run_doctor()[1]["worker"]
    assert level == WARNING
    assert "refreshes 20 min" in text
    assert "mail" not in text


def test_a_clock_that_differs_is_a_warning(working_worker, spool, monkeypatch):
    monkeypatch.setattr(doctor, "measure_clock_difference", lambda: -90.0)
    level, text = run_doctor()[1]["clock"]
    assert level == WARNING
    assert "90 s behind" in text


def test_a_restore_that_waits_for_a_decision_is_a_warning(working_worker, spool, monkeypatch):
    assert "restore" not in run_doctor()[1]
    monkeypatch.setattr(doctor, "find_undecided_restore", lambda: True)
    assert run_doctor()[1]["restore"][0] == WARNING


def test_a_wrong_key_is_an_error(working_worker, spool, settings):
    settings.VAULT_KEYS = "t1:!!"
    code, found = run_doctor()
    assert code == 1
    assert found["keys"][0] == ERROR
    assert "!!" not in found["keys"][1]


def test_files_that_wait_for_the_database_are_a_warning(working_worker, spool):
    spool.mkdir()
    (spool / "x.answer").touch()
    assert run_doctor()[1]["spool"][0] == WARNING


def test_a_spool_folder_that_cannot_be_written_is_an_error(working_worker, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.SPOOL_DIR = str(tmp_path / "file" / "spool")
    code, found = run_doctor()
    assert (code, found["spool"][0]) == (1, ERROR)


def test_a_provider_that_cannot_be_reached_is_an_error(working_worker, spool):
    code, found = run_doctor()
    assert (code, found["egress"][0]) == (1, ERROR)


def test_mail_that_cannot_be_sent_says_so_without_the_password(working_worker, spool, settings):
    assert run_doctor()[1]["mail"][0] == WARNING
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "u", "canary-mail"
    level, text = run_doctor()[1]["mail"]
    assert level == ERROR
    assert "canary" not in text


def test_lines_are_for_people_by_default(working_worker, spool, capsys):
    with pytest.raises(SystemExit):
        call_command("doctor", egress_url=NOWHERE)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok       keys      t1 encrypts") for line in lines)


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("VAULT_KEYS", "", "config.E001"),
        ("PUBLIC_URL", "http://latchkey.example", "config.W001"),
        ("ALLOWED_HOSTS", ["*"], "config.W002"),
        ("SPOOL_DIR", f"{tempfile.gettempdir()}/spool", "config.W003"),
        ("METRICS_TOKEN", "short", "config.W004"),
        ("TRUSTED_PROXIES", 0, "config.W005"),
        ("EMAIL_BACKEND", "django.core.mail.backends.dummy.EmailBackend", "config.I002"),
    ],
)
def test_the_deployment_checks_know_our_settings(settings, name, value, id):
    settings.PUBLIC_URL, settings.TRUSTED_PROXIES = "https://latchkey.example", 1
    settings.SPOOL_DIR, settings.METRICS_TOKEN = "/var/lib/latchkey/spool", "m" * 40
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert find_ids() == []
    setattr(settings, name, value)
    assert find_ids() == [id]


def find_ids() -> list[str | None]:
    """Return the ids of the messages but that of SQLite, on which the tests run as well."""
    return [message.id for message in check_deployment() if message.id != "config.I001"]
