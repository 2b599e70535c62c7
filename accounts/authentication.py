"""Who calls: `Authorization: Bearer`, and nothing else: no cookie, no query string."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Final

import orjson
from django.db import connection
from django.db.models import Q
from django.utils.crypto import constant_time_compare
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import token_format
from accounts.models import ApiToken, Session
from accounts.scopes import get_session_scopes
from common.actors import Principal
from common.db import dialect
from common.db.clock import DbNow, db_now
from common.db.ids import to_uuid
from common.errors import UnauthenticatedError
from common.http import build_actor

_HEADER: Final = re.compile(r"Bearer ([\x21-\x7e]+)", re.ASCII | re.IGNORECASE)
_USE_NOTED_SECONDS: Final = 60
_USE_NOTED_EVERY: Final = dt.timedelta(seconds=_USE_NOTED_SECONDS)


class BearerAuthentication(BaseAuthentication):
    """An API token or a session. One query for a token; a wrong checksum costs none."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        found = _HEADER.fullmatch(header)
        held = found[1] if found else ""
        match token_format.detect_token_type(held):
            case token_format.TOKEN_PREFIX:
                return _token(request, token_format.hash_token(held)), None
            case token_format.SESSION_PREFIX:
                return _session(request, token_format.hash_token(held)), None
        raise _refusal()

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="latchkey"'


def _token(request: Request, digest: bytes) -> Principal:
    with connection.cursor() as cursor:
        cursor.execute(_token_sql(), [digest])
        row = cursor.fetchone()
    if row is None:
        raise _refusal()
    id, account_id = (to_uuid(value) for value in row[:2])
    if row[3]:
        _note_use(ApiToken, id, None, db_now())
    return Principal(
        account_id=account_id,
        actor=build_actor(request, f"token:{id}"),
        scopes=frozenset(orjson.loads(row[2])),
        bearer_id=id,
        is_session=False,
    )


def _token_sql() -> str:
    """Written out, because every call runs it: making it from a queryset costs more than it does."""
    now, ago = dialect.now_sql(), dialect.now_sql(plus=-_USE_NOTED_SECONDS)
    return f"""
        SELECT id, account_id, scopes, last_used_at IS NULL OR last_used_at <= {ago}
        FROM accounts_apitoken
        WHERE digest = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > {now})
    """  # noqa: S608 - our own clock's text


def _session(request: Request, digest: bytes) -> Principal:
    session = (
        Session.objects.filter(digest=digest, expires_at__gt=DbNow())
        .annotate(now=DbNow())
        .select_related("user")
        .first()
    )
    if session is None:
        raise _refusal()
    if not _still_theirs(session):
        session.delete()
        raise _refusal()
    _note_use(Session, session.id, session.last_used_at, session.now)
    return Principal(
        account_id=session.account_id,
        actor=build_actor(request, f"user:{session.user_id}"),
        scopes=get_session_scopes(session.user),
        bearer_id=session.id,
        is_session=True,
    )


def _still_theirs(session: Session) -> bool:
    """Whether the user is still staff, active, and has the password of then."""
    user = session.user
    same_password = constant_time_compare(session.auth_hash, user.get_session_auth_hash())
    return user.is_active and user.is_staff and same_password


def _note_use(
    model: type[ApiToken] | type[Session],
    id: uuid.UUID,
    last_used_at: dt.datetime | None,
    now: dt.datetime,
) -> None:
    """Write the time of use at most once a minute: a write for each call would cost more than the call."""
    if last_used_at is None or now - last_used_at >= _USE_NOTED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_NOTED_EVERY)
        model._default_manager.filter(stale, id=id).update(last_used_at=now)


def _refusal() -> UnauthenticatedError:
    # One sentence for all causes: which one it was helps only somebody who guesses.
    return UnauthenticatedError("The token or session is missing, wrong, expired or revoked.")
