"""A worker gives signs of life to systemd and to a container's health check."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.worker.liveness import INTERVAL, Liveness
from egress.service_manager import notify_service_manager

HEALTHCHECK = Path(__file__).parents[2] / "deploy" / "docker" / "healthcheck.py"


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """Return the socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        path = f"{tmp_path}/notify"
        receiver.bind(path)
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield receiver


def test_systemd_is_notified(manager):
    liveness = Liveness()
    liveness.mark_started()
    liveness.mark_stopping()
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_signs_of_life_are_not_more_frequent_than_needed(manager, monkeypatch):
    times = iter([100.0, 100.0, 100.5, 100.0 + INTERVAL, 100.0 + INTERVAL])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    liveness = Liveness()
    for _ in range(3):
        liveness.mark_alive()
    assert [manager.recv(100), manager.recv(100)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_an_abstract_address_is_understood(monkeypatch):
    name = f"latchkey-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify_service_manager("READY=1")
        assert receiver.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nonexistent/notify"])
def test_a_manager_that_cannot_be_reached_stops_nothing(manager, monkeypatch, address):
    with monkeypatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", address)
        notify_service_manager("READY=1")
    notify_service_manager("STOPPING=1")
    assert manager.recv(100) == b"STOPPING=1"


def test_the_file_is_touched_and_a_full_disk_stops_nothing(tmp_path):
    file = tmp_path / "alive"
    Liveness(file).mark_alive()
    assert file.exists()
    Liveness(tmp_path / "missing" / "alive").mark_alive()


@pytest.mark.processes
def test_the_health_check_reads_the_age_of_the_file(tmp_path):
    file = tmp_path / "alive"
    assert check_health(file) == 1
    file.touch()
    assert check_health(file) == 0
    os.utime(file, (0, time.time() - 120))
    assert check_health(file) == 1


@pytest.mark.processes
def test_the_health_check_of_a_server_fails_if_nothing_listens():
    assert check_health("9") == 1


def check_health(target: object) -> int:
    command = [sys.executable, "-I", str(HEALTHCHECK), str(target)]
    return subprocess.run(command, timeout=30, check=False).returncode
