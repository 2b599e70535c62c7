"""Any order of callers, clock, crashes, errors, imports and deletions. The grant is never lost
silently, and never by us. REFRESH_EXAMPLES=1000 tries more than the few of every run.

The oracle: the token that is stored is the one that the provider considers current, or the row says
otherwise; a family of tokens is ended by our reuse only if a response was really lost and the
provider gives no second chance; a caller gets a live token or an error.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.db import OperationalError, connection
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from common.errors import ServiceError
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Revocation
from credentials.refresh import (
    attempt,
    commit_retry,
    get_fresh_token,
    services,
    spool,
    tasks,
    token_storage,
)
from credentials.refresh.circuit_breaker import CircuitBreaker
from credentials.services.crud import credential_delete, credential_import
from events.models import Event
from tests.factories import TESTER, make_account, make_app
from tests.fakes.fixtures import register_provider
from tests.fakes.grants import TokenFamily
from tests.fakes.provider import TOKEN_LOSING_MODES

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("REFRESH_EXAMPLES", "0"))
# Always the same ones, so that more of them would find nothing new in a later run.
FEW_EXAMPLES = 25 if connection.vendor == "postgresql" else 15
REFUSING = ("invalid_grant", "error_200")
FAULTS = (
    "500_before", "503_before", "429_seconds", "reset_before", "redirect", "unknown_error",
    "500_after", "truncated", "html", "reset_after", "token_type_mac", "duplicate_keys",
    "no_access_token", "expires_missing", "expires_zero", "invalid_client", *REFUSING,
)  # fmt: skip
CRASHES = ("before_send", "after_send", "before_commit", "after_commit")
USERS = ("ann", "bob")


def shift(seconds: int | None) -> None:
    """Move the database's clock, or reset it if `seconds` is None."""
    live: Any = settings
    live.CLOCK_SHIFT_SECONDS = 0 if seconds is None else live.CLOCK_SHIFT_SECONDS + seconds


class Killed(BaseException):
    """The end of the process. Only the database's rollback runs after it."""


class Machine(RuleBasedStateMachine):
    given: Any = None  # The test's provider and folder.

    @initialize(
        rotation=st.sampled_from(["strict", "strict", "none"]), grace=st.sampled_from([0, 0, 30])
    )
    def begin(self, rotation: str, grace: int) -> None:
        self.provider, tmp_path = self.given
        Credential.objects.all().delete()  # The worker would refresh those of the example before.
        shift(None)
        self.provider.modes.clear()
        self.provider.mode = "ok"
        self.provider.on_call = None
        self.provider.calls.clear()
        self.provider.grants.__init__(rotation=rotation, grace=grace)
        register_provider(self.provider, settings, tmp_path, grace_seconds=grace)
        limits = CircuitBreaker(
            clock=lambda: time.monotonic() + getattr(settings, "CLOCK_SHIFT_SECONDS", 0)
        )
        for module in (attempt, tasks):
            setattr(module, "circuit_breaker", limits)  # noqa: B010 - they import it, and do not export it
        self.account = make_account()
        self.app = make_app(self.account, "fake")
        self.crash: str | None = None
        self.database_is_away = False
        self.rows: dict[str, Any] = {}
        self.files: dict[str, dict[str, Any]] = {}
        self.lost: set[TokenFamily] = set()
        """Families of which a response was lost, or may have been."""
        self.ended: set[TokenFamily] = set()
        """Families that their user revoked, or that the provider has rejected."""
        self.imports = dict.fromkeys(USERS, 0)
        for user in USERS:
            self.authorize(user)

    # --- what may happen -----------------------------------------------------------------------

    def authorize(self, user: str) -> None:
        """Connect the user again, and import the grant."""
        tokens = self.provider.grants.authorize(user)
        self.files[user] = {
            "properties": {
                "kind": "fake_oauth2",
                "user_id": user,
                "expires_at": "2026-01-01T00:00:00Z",
                **tokens,
            },
            "oauth_app_id": str(self.app.id),
        }
        self.load(user)
        self.imports[user] += 1

    def load(self, user: str) -> str:
        body = self.files[user]
        outcome = credential_import(account_id=self.account.id, actor=TESTER, body=body)
        self.rows[user] = outcome.id
        return outcome.result

    @rule(user=st.sampled_from(USERS), force=st.booleans())
    def read(self, user: str, force: bool) -> None:
        self.ask(user, force)

    @rule(user=st.sampled_from(USERS), count=st.integers(2, 4), force=st.booleans())
    def read_at_once(self, user: str, count: int, force: bool) -> None:
        def run(_: int) -> None:
            try:
                self.ask(user, force)
            finally:
                connection.close()

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(run, range(count)))

    @rule()
    def work(self) -> None:
        for claim in tasks.REFRESH_TASK.claim("machine", 8):
            tasks.REFRESH_TASK.run(claim)

    @rule(user=st.sampled_from(USERS), point=st.sampled_from(CRASHES), force=st.booleans())
    def die(self, user: str, point: str, force: bool) -> None:
        self.crash = point
        family = self.provider.grants.families[user]
        try:
            self.ask(user, force)
        except Killed:
            if point in {"after_send", "before_commit"}:
                self.lost.add(family)
        finally:
            self.crash = None

    @rule(user=st.sampled_from(USERS), force=st.booleans())
    def lose_database(self, user: str, force: bool) -> None:
        """Let the database accept no token, so that the response is written to a file."""
        if self.is_spooled(self.rows[user]):
            return
        self.database_is_away = True
        try:
            self.ask(user, force)
        finally:
            self.database_is_away = False

    @rule(seconds=st.sampled_from([2, 8, 25, 400, 3600, 100_000]))
    def wait(self, seconds: int) -> None:
        shift(seconds)
        self.provider.grants.shift += seconds

    @rule(mode=st.sampled_from(FAULTS))
    def fault(self, mode: str) -> None:
        self.provider.modes.append(mode)

    @rule(user=st.sampled_from(USERS))
    def connect_again(self, user: str) -> None:
        self.authorize(user)

    @rule(user=st.sampled_from(USERS))
    def import_last_nights_file(self, user: str) -> None:
        if self.alive(user):
            generation = get_grant(self.row(user)).generation
            assert self.load(user) in {"unchanged", "updated"}
            assert get_grant(self.row(user)).generation == generation

    @rule(user=st.sampled_from(USERS))
    def end_at_the_provider(self, user: str) -> None:
        family = self.provider.grants.families[user]
        family.revoked = True
        self.ended.add(family)

    @rule(user=st.sampled_from(USERS))
    def delete(self, user: str) -> None:
        if self.alive(user):
            credential_delete(account_id=self.account.id, id=self.rows[user], actor=TESTER)

    @rule(user=st.sampled_from(USERS), what=st.sampled_from(["delete", "connect", "file"]))
    def change_during_call(self, user: str, what: str) -> None:
        """Change the row during its refresh."""
        if not self.alive(user):
            return
        happened: list[str] = []

        def act() -> None:
            self.provider.on_call = None
            happened.append(what)
            try:
                if what == "delete":
                    credential_delete(account_id=self.account.id, id=self.rows[user], actor=TESTER)
                elif what == "connect":
                    self.authorize(user)
                else:
                    self.load(user)
            finally:
                connection.close()

        spool.replay_all()  # Tokens for a grant that was replaced are revoked, too.
        self.provider.on_call = act
        revocations = Revocation.objects.count()
        self.ask(user, True)
        self.provider.on_call = None
        call = self.provider.calls[-1] if self.provider.calls else {}
        heard = call.get("outcome") == "granted" and call["mode"] not in TOKEN_LOSING_MODES
        if happened == ["delete"] and heard:
            assert Revocation.objects.count() == revocations + 2

    # --- how it is done ------------------------------------------------------------------------

    def ask(self, user: str, force: bool) -> None:
        calls = len(self.provider.calls)
        try:
            fresh = get_fresh_token(
                account_id=self.account.id, id=self.rows[user], actor=TESTER, force=force
            )
        except ServiceError:
            return
        finally:
            self.note(calls)
        token = fresh.access_token.expose()
        if self.provider.grants.owners[token] not in self.ended | self.lost:
            assert self.provider.grants.is_alive(token)

    def note(self, calls: int) -> None:
        """Record what the provider did to grants in the calls since."""
        for call in self.provider.calls[calls:]:
            family = self.provider.grants.owners[call["refresh_token"]]
            if call["mode"] in TOKEN_LOSING_MODES and call["outcome"] == "granted":
                self.lost.add(family)
            if call["mode"] in REFUSING:
                self.ended.add(family)

    def alive(self, user: str) -> bool:
        return Credential.objects.filter(id=self.rows[user]).exists()

    def row(self, user: str) -> Credential:
        return Credential.objects.get(id=self.rows[user])

    def is_spooled(self, id: Any) -> bool:
        return any(Path(settings.SPOOL_DIR).glob(f"*.{id}.*"))

    # --- the oracle ----------------------------------------------------------------------------

    @invariant()
    def nothing_is_silently_dead(self) -> None:
        self.note(0)
        for row in Credential.objects.filter(account=self.account):
            self.check(row)

    def check(self, row: Credential) -> None:
        held = decrypt_secrets(row)["refresh_token"]
        family = self.provider.grants.owners[held]
        if get_grant(row).state == "needs_reauth":
            assert family in self.ended | self.lost
            assert get_grant(row).next_at is None
        elif self.is_spooled(row.id):
            pass  # The file is read before the next refresh.
        elif (get_grant(row).unknowns, get_grant(row).lease_until) == (0, None):
            assert held == family.current or family in self.ended, self.story(row)
        else:
            assert held == family.current or family in self.lost, self.story(row)
        verdicts = Event.objects.filter(target_id=row.id, verb="credential.needs_reauth")
        assert verdicts.count() <= self.imports[row.properties["user_id"]]

    def story(self, row: Credential) -> Any:
        """Return what explains a failure."""
        return vars(get_grant(row)), self.provider.calls[-8:]

    @invariant()
    def no_family_ends_by_our_reuse_unless_its_response_was_lost(self) -> None:
        for token in self.provider.grants.reuses:
            assert self.provider.grants.owners[token] in self.lost

    def teardown(self) -> None:
        """Without errors, every grant recovers or says that it cannot."""
        if not hasattr(self, "rows"):
            return
        self.provider.modes.clear()
        self.provider.mode = "ok"
        for _ in range(3):
            self.wait_long()
            self.work_now()
        for row in Credential.objects.filter(account=self.account):
            if get_grant(row).state == "needs_reauth":
                continue
            held = decrypt_secrets(row)["refresh_token"]
            family = self.provider.grants.owners[held]
            assert (get_grant(row).unknowns, get_grant(row).lease_until) == (0, None), self.story(
                row
            )
            assert held == family.current, self.story(row)
            if not family.revoked:
                fresh = get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
                assert self.provider.grants.is_alive(fresh.access_token.expose())

    def wait_long(self) -> None:
        shift(100_000)
        self.provider.grants.shift += 100_000

    def work_now(self) -> None:
        for claim in tasks.REFRESH_TASK.claim("machine", 8):
            tasks.REFRESH_TASK.run(claim)


@pytest.mark.django_db(transaction=True)
def test_no_grant_is_lost(provider, request, tmp_path, monkeypatch):
    # The fixture undoes what the machine sets, and would keep a layer for each change of its own.
    request.getfixturevalue("settings").CLOCK_SHIFT_SECONDS = 0
    monkeypatch.setattr(services, "MAX_WAIT_SECONDS", 0.2)
    for module in (attempt, tasks):
        monkeypatch.setattr(module, "circuit_breaker", CircuitBreaker())
    call, store, succeeded = (
        attempt.call_provider,
        token_storage.store_token_update,
        token_storage.store_success,
    )
    machines: list[Machine] = []

    class Observed(Machine):
        given = (provider, tmp_path)

        def __init__(self) -> None:
            super().__init__()
            machines[:] = [self]

    def kill(point: str) -> None:
        if machines[0].crash == point:
            raise Killed

    def dying_call(*args: Any) -> Any:
        kill("before_send")
        tokens = call(*args)
        kill("after_send")
        return tokens

    def dying_store(*args: Any, **more: Any) -> Any:
        if machines[0].database_is_away:
            raise OperationalError("the server closed the connection")
        stored = store(*args, **more)
        kill("before_commit")
        return stored

    def dying_succeeded(*args: Any) -> Any:
        stored = succeeded(*args)
        kill("after_commit")
        return stored

    monkeypatch.setattr(attempt, "call_provider", dying_call)
    monkeypatch.setattr(commit_retry, "COMMIT_SECONDS", 0.1)
    monkeypatch.setattr(token_storage, "store_token_update", dying_store)
    monkeypatch.setattr(token_storage, "store_success", dying_succeeded)
    run_state_machine_as_test(
        Observed,
        settings=hypothesis.settings(
            max_examples=EXAMPLES or FEW_EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            derandomize=not EXAMPLES,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
