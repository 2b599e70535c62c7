"""Authentication of API requests by `Authorization: Bearer`. No cookie or query parameter is read."""

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
# Writing the time of use at each request would cost more than the request.
_LAST_USED_SECONDS: Final = 60
_LAST_USED_INTERVAL: Final = dt.timedelta(seconds=_LAST_USED_SECONDS)
# One message for all causes: only an attacker would learn from a distinction.
_MESSAGE: Final = "The token or session is missing, wrong, expired or revoked."


class BearerAuthentication(BaseAuthentication):
    """API tokens and sessions. A token costs one query, and one with a wrong checksum none."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        match = _HEADER.fullmatch(header)
        token = match[1] if match else ""
        principal = None
        match token_format.detect_token_type(token):
            case token_format.TOKEN_PREFIX:
                principal = _authenticate_token(request, token_format.hash_token(token))
            case token_format.SESSION_PREFIX:
                principal = _authenticate_session(request, token_format.hash_token(token))
        if principal is None:
            raise UnauthenticatedError(_MESSAGE)
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="latchkey"'


def _authenticate_token(request: Request, digest: bytes) -> Principal | None:
    # SQL, because every request runs this query: building it from a queryset takes longer than running it.
    now, stale = dialect.now_sql(), dialect.now_sql(plus=-_LAST_USED_SECONDS)
    query = f"""
        SELECT id, account_id, scopes, last_used_at IS NULL OR last_used_at <= {stale}
        FROM accounts_apitoken
        WHERE digest = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > {now})
    """  # noqa: S608 - our own clock's text
    with connection.cursor() as cursor:
        cursor.execute(query, [digest])
        row = cursor.fetchone()
    if row is None:
        return None
    id, account_id = (to_uuid(value) for value in row[:2])
    if row[3]:
        _store_use_time(ApiToken, id, None, db_now())
    return Principal(
        account_id=account_id,
        actor=build_actor(request, f"token:{id}"),
        scopes=frozenset(orjson.loads(row[2])),
        bearer_id=id,
        is_session=False,
    )


def _authenticate_session(request: Request, digest: bytes) -> Principal | None:
    session = (
        Session.objects.filter(digest=digest, expires_at__gt=DbNow())
        .annotate(now=DbNow())
        .select_related("user")
        .first()
    )
    if session is None:
        return None
    user = session.user
    same_password = constant_time_compare(session.auth_hash, user.get_session_auth_hash())
    if not (user.is_active and user.is_staff and same_password):
        session.delete()
        return None
    _store_use_time(Session, session.id, session.last_used_at, session.now)
    return Principal(
        account_id=session.account_id,
        actor=build_actor(request, f"user:{session.user_id}"),
        scopes=get_session_scopes(user),
        bearer_id=session.id,
        is_session=True,
    )


def _store_use_time(
    model: type[ApiToken] | type[Session],
    id: uuid.UUID,
    last_used_at: dt.datetime | None,
    now: dt.datetime,
) -> None:
    if last_used_at is None or now - last_used_at >= _LAST_USED_INTERVAL:
        # Of several concurrent requests only one writes.
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _LAST_USED_INTERVAL)
        model._default_manager.filter(stale, id=id).update(last_used_at=now)
