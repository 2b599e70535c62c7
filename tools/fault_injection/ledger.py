"""The grants of one service: what the provider knows of each, and what Latchkey says."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from tools.fault_injection.installation import ApiClient
from tools.fault_injection.provider_process import ProviderProcess

SETTLE_SECONDS: Final = 150.0
"""Longer than the lease of a strict provider: after it, no outcome is unknown any more."""


class Report(NamedTuple):
    """An ended grant as Latchkey reported it."""

    grant: str
    error: str
    health: str
    note: str


class Ledger:
    """The users of one service with their grants. `connect` gives a user another grant."""

    def __init__(self, provider: ProviderProcess, client: ApiClient, service: str) -> None:
        self.service = service
        self.reports: list[Report] = []
        """Grants that ended and were replaced during the run."""
        self.credentials: list[dict[str, Any]] = []
        self._provider = provider
        self.client = client
        self._app_id = client.create_app(service)
        self._grants: dict[str, str] = {}
        self._connects: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._reconnect_ended, daemon=True)

    def connect(self, users: list[str]) -> None:
        """Let each user authorize again, and import the new grants."""
        for user in users:
            self._connects[user] += 1
            self._grants[user] = f"{user}.{self._connects[user]}"
        made = self._provider.change(self.service, authorize=[self._grants[user] for user in users])
        tokens = dict(zip(users, made, strict=True))
        self.client.import_grants(self.service, self._app_id, tokens)
        self.credentials = self._list()

    def start(self) -> None:
        """From now on, connect each user whose grant has ended, as a person would."""
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def is_alive(self, credential: dict[str, Any], access_token: str) -> bool:
        """Return True if the provider accepts the token."""
        return self._provider.is_alive(self.service, access_token)

    def count(self) -> dict[str, Any]:
        return self._provider.count(self.service)

    def refresh_all(self) -> dict[str, str]:
        """Refresh each grant until its outcome is known. Return the outcome by grant.

        It is alive, reported, in_doubt (with a note or not), silent (dead, and Latchkey does not say
        so) or wrongly_ended (alive at the provider, and no response was lost).
        """
        self.credentials = self._list()
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(self._refresh, self.credentials))
        after = {row["id"]: row for row in self._list()}
        lost = {
            call["grant"] for call in self._provider.list_calls(self.service) if call["is_lost"]
        }
        revoked = set(self.count()["revoked"])
        outcomes = {}
        for credential, status in zip(self.credentials, statuses, strict=True):
            grant = self._grants[get_user(credential)]
            row = after[credential["id"]]
            outcomes[grant] = _classify(
                row, status, is_lost=grant in lost, is_revoked=grant in revoked
            )
            if row["refresh"]["state"] == "needs_reauth":
                self._add_report(grant, row)
        return outcomes

    def list_wrong_reports(self) -> list[Report]:
        """Return the reports of grants of which no response was ever lost."""
        lost = {
            call["grant"] for call in self._provider.list_calls(self.service) if call["is_lost"]
        }
        dead = set(self.count()["revoked"])
        return [one for one in self.reports if one.grant not in lost and one.grant not in dead]

    def _refresh(self, credential: dict[str, Any]) -> int:
        """Return 200 if the grant works, 409 if it has ended, otherwise the last status."""
        end = time.monotonic() + SETTLE_SECONDS
        while True:
            response = self.client.call("POST", f"/credentials/{credential['id']}/refresh")
            if response.status in {200, 409} or time.monotonic() > end:
                break
            time.sleep(1)
        if response.status != 200:
            return response.status
        token = self.client.call("POST", f"/credentials/{credential['id']}/token")
        is_alive = token.status == 200 and self.is_alive(credential, token.document["access_token"])
        return 200 if is_alive else 401

    def _reconnect_ended(self) -> None:
        while not self._stopping.wait(3):
            try:
                ended = self._list(**{"refresh.state": "needs_reauth"})
                for row in ended:
                    self._add_report(self._grants[get_user(row)], row)
                if ended:
                    self.connect([get_user(row) for row in ended])
            except (OSError, http.client.HTTPException, RuntimeError):
                # A server was killed or the database is away: the next round sees the same rows.
                continue

    def _add_report(self, grant: str, row: dict[str, Any]) -> None:
        health = row["health"]
        note = next(iter(health["notes"]), "")
        if all(one.grant != grant for one in self.reports):
            self.reports.append(
                Report(grant, row["refresh"]["error"] or "", health["status"], note)
            )

    def _list(self, **filters: str) -> list[dict[str, Any]]:
        return self.client.list_credentials(provider=self.service, **filters)


def get_user(credential: dict[str, Any]) -> str:
    """Return the user whose grant the credential is."""
    return str(credential["properties"]["user_id"])


def _classify(row: dict[str, Any], status: int, *, is_lost: bool, is_revoked: bool) -> str:
    state, health = row["refresh"]["state"], row["health"]
    if status == 200:
        return "alive"
    if state == "needs_reauth" and not is_lost and not is_revoked:
        return "wrongly ended"
    if state == "needs_reauth" and health["status"] == "error" and health["notes"]:
        return "reported"
    if state == "in_doubt":
        return "in doubt" if health["notes"] else "silent"
    return "silent" if is_revoked else f"undecided ({state}, {status})"
