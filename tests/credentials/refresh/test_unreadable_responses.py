"""A token response that cannot be read is kept encrypted, shown by a reveal, and parsed again."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.core.management import call_command

from credentials.core.grant_state import get_grant
from credentials.health.models import UnreadableResponse
from credentials.models import Credential, Grant
from credentials.refresh import unreadable_responses
from events.models import Event
from oauth_apps.protocol import responses
from tests.api import ApiClient
from tests.factories import make_token
from tests.fakes.provider import FAILURES_AFTER_ISSUE, FAILURES_BEFORE_ISSUE

pytestmark = pytest.mark.django_db

BODY = b'<tokens access_token="access-secret" refresh_token="refresh-secret"/>'


@pytest.fixture
def say(provider, monkeypatch) -> Any:
    """Let the provider send this body with status 200, after it has rotated the grant or not."""

    def set_body(body: bytes, *, rotates: bool = True) -> None:
        def send(handler: Any, *_: Any) -> None:
            handler.raw(200, body, Content_Type="application/xml")

        modes = FAILURES_AFTER_ISSUE if rotates else FAILURES_BEFORE_ISSUE
        monkeypatch.setitem(modes, "unreadable", send)
        provider.mode = "unreadable"

    return set_body


def refresh(api: ApiClient, row: Credential) -> str:
    response = api.post(f"/v1/credentials/{row.id}/refresh")
    return str(response.json().get("code", response.status_code))


def end_back_off(row: Credential) -> None:
    Grant.objects.filter(credentials=row.id).update(next_at=None)


def reveal(api: ApiClient, row: Credential, reason: str = "The grant is lost otherwise") -> Any:
    return api.post(f"/v1/credentials/{row.id}/reveal-response", {"reason": reason})


def run_command(*args: str) -> None:
    call_command("parse_responses", *args)


def test_it_is_kept_encrypted(api, grant, say):
    say(BODY)
    row = grant()
    assert refresh(api, row) == "provider_unavailable"
    kept = UnreadableResponse.objects.get()
    assert (kept.credential_id, kept.status, kept.size) == (row.id, 200, len(BODY))
    assert kept.content_type == "application/xml"
    assert b"secret" not in kept.sealed.blob
    assert unreadable_responses.decrypt_response(kept).body == BODY
    assert 29 <= (kept.expires_at - kept.received_at).days <= 30


def test_health_and_events_say_so(api, grant, say):
    say(BODY)
    row = grant()
    refresh(api, row)
    health = api.get(f"/v1/credentials/{row.id}").json()["health"]
    assert health["status"] == "warn"
    assert "could not be read. It is kept encrypted until" in health["notes"][0]
    end_back_off(row)
    refresh(api, row)
    assert Event.objects.filter(verb="credential.response_kept").count() == 1


def test_a_lost_grant_says_that_the_response_is_kept(api, grant, say, provider):
    say(BODY)
    row = grant()
    refresh(api, row)
    end_back_off(row)
    provider.mode = "ok"  # Strict: the former refresh token is used up.
    assert refresh(api, row) == "needs_reauth"
    notes = api.get(f"/v1/credentials/{row.id}").json()["health"]["notes"]
    assert "is kept encrypted" in notes[0]
    assert "never arrived" not in notes[0]


def test_reveal_needs_scope_and_reason_and_is_an_event(api, account, grant, say):
    say(BODY)
    row = grant()
    refresh(api, row)
    response = reveal(api, row)
    assert response.status_code == 200
    document = response.json()
    assert base64.b64decode(document["body_base64"]) == BODY
    assert (document["status"], document["content_type"]) == (200, "application/xml")
    assert response["Cache-Control"] == "no-store"
    (event,) = Event.objects.filter(verb="credential.revealed")
    assert event.changed == ["token_response"]
    assert event.detail == {"reason": "The grant is lost otherwise"}
    assert reveal(api, row, "").status_code == 422
    weak = ApiClient(make_token(account, "credentials:read"))
    assert reveal(weak, row).status_code == 403


def test_reveals_share_one_limit(api, grant, say):
    say(BODY)
    row = grant()
    refresh(api, row)
    for _ in range(10):
        assert reveal(api, row).status_code == 200
    assert reveal(api, row).status_code == 429
    response = api.post(f"/v1/credentials/{row.id}/reveal", {"reason": "x"})
    assert response.status_code == 429


def test_without_one_it_is_404(api, other_api, grant, say):
    row = grant()
    assert reveal(api, row).status_code == 404
    say(BODY)
    refresh(api, row)
    assert reveal(other_api, row).status_code == 404


def test_one_is_kept_per_credential_and_one_with_tokens_stays(api, grant, say):
    row = grant()
    for body in (b"first token", b"second token", b"<html>Maintenance</html>"):
        say(body, rotates=False)
        end_back_off(row)
        refresh(api, row)
    kept = UnreadableResponse.objects.get()
    assert unreadable_responses.decrypt_response(kept).body == b"second token"


def test_utf_16_counts_as_having_tokens(api, grant, say):
    say("<access_token>".encode("utf-16"))
    row = grant()
    refresh(api, row)
    assert UnreadableResponse.objects.get().has_tokens


def test_size_is_bounded(api, grant, say):
    say(b"x" * 300_000)
    row = grant()
    refresh(api, row)
    kept = UnreadableResponse.objects.get()
    assert kept.size == 300_000
    assert len(unreadable_responses.decrypt_response(kept).body) == 256 * 1024


@pytest.mark.parametrize("mode", ["500_after", "invalid_grant", "429_seconds"])
def test_other_failures_keep_nothing(api, grant, provider, mode):
    provider.mode = mode
    refresh(api, grant())
    assert not UnreadableResponse.objects.exists()


def test_nothing_of_it_is_logged_or_answered(api, grant, say, caplog, capsys):
    say(BODY)
    row = grant()
    response = api.post(f"/v1/credentials/{row.id}/refresh")
    with pytest.raises(SystemExit):
        run_command()
    output = capsys.readouterr()
    page = json.dumps(api.get(f"/v1/credentials/{row.id}").json())
    events = str(list(Event.objects.values()))
    for text in (caplog.text, output.out, output.err, response.content.decode(), page, events):
        assert "access-secret" not in text
        assert "refresh-secret" not in text


class TestParsingAgain:
    @pytest.fixture
    def row(self, api, grant, say, provider) -> Credential:
        """Return a grant whose new tokens are in a response that only a later version reads."""
        row: Credential = grant()
        tokens = provider.grants.refresh("refresh-ann-1")
        assert tokens is not None
        say(f"tokens: {json.dumps({**tokens, 'expires_in': 3600})}".encode(), rotates=False)
        assert refresh(api, row) == "provider_unavailable"
        provider.mode = "ok"
        return row

    @pytest.fixture
    def new_version(self, monkeypatch) -> None:
        decode = vars(responses)["decode_token_document"]

        def decode_more(response: Any) -> Any:
            return decode(response) or json.loads(response.body.partition(b": ")[2])

        monkeypatch.setattr(responses, "decode_token_document", decode_more)

    def test_unreadable_ones_stay(self, row, capsys):
        with pytest.raises(SystemExit):
            run_command()
        assert "stored=0 readable=0 unreadable=1" in capsys.readouterr().out
        assert UnreadableResponse.objects.exists()

    def test_tokens_are_stored(self, row, new_version, api, provider, capsys):
        run_command()
        assert "stored=1" in capsys.readouterr().out
        assert not UnreadableResponse.objects.exists()
        calls = len(provider.calls)
        token = api.post(f"/v1/credentials/{row.id}/token").json()["access_token"]
        assert provider.grants.is_alive(token)
        assert len(provider.calls) == calls
        assert refresh(api, row) == "200"

    def test_dry_run_changes_nothing(self, row, new_version, capsys):
        run_command("--dry-run")
        assert "readable=1" in capsys.readouterr().out
        assert UnreadableResponse.objects.exists()
        assert get_grant(Credential.objects.get(id=row.id)).generation == 0

    def test_grant_that_was_rejected_since_is_recovered(self, row, new_version, api):
        Grant.objects.filter(credentials=row.id).update(
            state="needs_reauth", error="rotation_response_lost"
        )
        run_command("--credential", str(row.id))
        after = Credential.objects.get(id=row.id)
        stored = get_grant(after)
        assert (stored.state, stored.generation) == ("active", 1)
        assert refresh(api, row) == "200"
        assert Credential.objects.get(id=row.id).health["status"] == "ok"

    def test_replaced_grant_is_left_alone(self, row, new_version, capsys):
        Grant.objects.filter(credentials=row.id).update(generation=5)
        run_command()
        assert "superseded=1" in capsys.readouterr().out
        assert get_grant(Credential.objects.get(id=row.id)).generation == 5

    def test_running_refresh_is_not_overtaken(self, row, new_version, capsys):
        Grant.objects.filter(credentials=row.id).update(
            lease_owner="other", lease_until="2099-01-01T00:00:00Z"
        )
        run_command()
        assert "busy=1" in capsys.readouterr().out
        assert UnreadableResponse.objects.exists()


def test_worker_deletes_expired_and_superseded_ones(api, grant, say, settings):
    say(BODY)
    rows = [grant(name) for name in ("ann", "bob", "cleo")]
    for row in rows:
        refresh(api, row)
    unreadable_responses.delete_obsolete_responses()
    assert UnreadableResponse.objects.count() == 3
    Grant.objects.filter(credentials=rows[0].id).update(generation=9)
    UnreadableResponse.objects.filter(credential_id=rows[1].id).update(
        expires_at="2020-01-01T00:00:00Z"
    )
    assert not unreadable_responses.delete_obsolete_responses()
    assert UnreadableResponse.objects.get().credential_id == rows[2].id
    rows[2].refresh_from_db()
    Credential.objects.filter(id=rows[2].id).delete()
    assert not UnreadableResponse.objects.exists()
