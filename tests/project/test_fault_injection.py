"""The parts of tools/chaos.py and tools/prove_refresh.py, which run for minutes themselves."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection

from credentials.refresh import schedule
from tests.factories import make_token
from tools import chaos, prove_refresh
from tools.fault_injection import losses
from tools.fault_injection.installation import ApiClient, Installation
from tools.fault_injection.ledger import Ledger
from tools.fault_injection.losses import Disturbances, find_missed_try
from tools.fault_injection.provider_process import ProviderProcess

pytestmark = pytest.mark.processes


@pytest.fixture
def provider(tmp_path) -> Iterator[ProviderProcess]:
    with ProviderProcess(tmp_path / "providers") as process:
        yield process


def refresh(provider: ProviderProcess, service: str, token: str) -> dict[str, Any]:
    body = urlencode({"grant_type": "refresh_token", "refresh_token": token}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{provider.port}/{service}/token", body) as sent:
        document: dict[str, Any] = json.load(sent)
    return document


def test_the_provider_knows_each_loss_and_each_reuse(provider):
    provider.add_service("graceful", grace=60, script=["500_after"])
    provider.add_service("strict", grace=0)
    for service in ("graceful", "strict"):
        (tokens,) = provider.change(service, authorize=["ann"])
        first = tokens["refresh_token"]
        for _ in range(3):
            try:
                refresh(provider, service, first)
            except OSError:
                continue
    graceful, strict = provider.list_calls("graceful"), provider.list_calls("strict")
    assert [call["outcome"] for call in graceful] == ["granted", "replayed", "replayed"]
    assert [call["is_lost"] for call in graceful] == [True, False, False]
    assert [call["outcome"] for call in strict] == ["granted", "reused", "dead"]
    assert provider.count("strict")["revoked"] == ["ann"]


def make_call(start: float, seconds: float = 0.3, **more: Any) -> dict[str, Any]:
    times = {"started_at": start, "ended_at": start + seconds}
    return {**times, "outcome": "replayed", "fault": "", "is_lost": True, **more}


@pytest.mark.parametrize(
    ("calls", "outages", "reason"),
    [
        ([make_call(9), make_call(18), make_call(26)], [], ""),
        ([make_call(9), make_call(18)], [], "after 30.0 s"),
        ([make_call(9), make_call(18)], [(19, 24)], ""),
        ([make_call(15), make_call(30.1)], [], "after 15.0 s"),
        ([make_call(1, outcome="429"), make_call(2), make_call(11), make_call(20, 5)], [], ""),
        ([make_call(2, is_lost=False)], [], "arrived"),
    ],
)
def test_a_loss_within_a_grace_says_if_a_try_was_left(calls, outages, reason):
    calls = [make_call(0, outcome="granted"), *calls]
    disturbances = Disturbances(30, kills=[0.2, 9.1, 18.2], outages=outages)
    found = find_missed_try(calls, disturbances)
    assert reason in found
    assert bool(reason) == bool(found)


@pytest.mark.parametrize("name", ["GRACE_MARGIN", "SHORTEST_GRACE_LEASE", "LAST_GRACE_LEASE"])
def test_losses_are_judged_by_the_times_of_the_leases(name):
    assert getattr(losses, name) == getattr(schedule, name)


def test_the_programs_read_their_options():
    assert chaos.read_arguments(["--grants", "6"]).grants == 6
    assert sum(chaos.build_faults(chaos.read_arguments([])).values()) == pytest.approx(0.1)
    with pytest.raises(SystemExit) as caught:
        prove_refresh.main(["a-scenario-that-does-not-exist"])
    assert caught.value.code == 2


@pytest.mark.django_db(transaction=True)
def test_the_ledger_compares_latchkey_with_the_provider(provider, account, tmp_path):
    if connection.vendor != "postgresql":
        pytest.skip("processes are tested on PostgreSQL")
    provider.add_service("strict", grace=0, script=["500_after"], retry_after=0)
    database_url = os.environ["TEST_DATABASE_URL"].rpartition("/")[0]
    with Installation(
        tmp_path,
        database_url=f"{database_url}/{connection.settings_dict['NAME']}",
        providers=provider.folder,
        allow=provider.allowed_targets,
        VAULT_KEYS=os.environ["VAULT_KEYS"],
    ) as installation:
        installation.start_server("web-0")
        ledger = Ledger(provider, ApiClient(installation, make_token(account)), "strict")
        ledger.connect(["ann", "bob"])
        outcomes = ledger.refresh_all()
    assert sorted(outcomes.values()) == ["alive", "reported"]
    assert [report.error for report in ledger.reports] == ["rotation_response_lost"]
    assert ledger.list_wrong_reports() == []
