"""The services that write accounts, API tokens and sessions."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Final

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts import token_format
from accounts.models import Account, ApiToken, RateLimitOverride, Session
from common import scopes as scope_names
from common import text
from common.actors import Actor
from common.db.clock import DbNow, db_now
from common.errors import ConflictError, InvalidInputError, NotFoundError
from events.services import EventTarget, record_event

SESSION_LIFETIME: Final = dt.timedelta(hours=4)
MAX_LIVE_SESSIONS: Final = 5
MAX_RATE: Final = 1_000_000_000


def account_create(*, name: str, actor: Actor) -> Account:
    """Create an account, with a slug made from its name.

    Raises InvalidInputError, or ConflictError if the slug is in use.
    """
    name = text.normalize_text(name)
    if fault := text.find_label_error(name, max_length=200):
        raise InvalidInputError.for_field("name", fault)
    slug = slugify(name)[:63]
    if not slug:
        raise InvalidInputError.for_field("name", "must have a letter or a digit")
    try:
        with transaction.atomic():
            account = Account.objects.create(name=name, slug=slug)
            record_event(actor, EventTarget("account", account.id, account.id), "account.created")
    except IntegrityError:
        raise ConflictError(f"There is an account with the slug {slug} already.") from None
    return account


def get_account(slug: str) -> Account:
    """Return the account with this slug or exact name. Raises NotFoundError, naming it."""
    account = Account.objects.filter(slug=slug).first() or Account.objects.filter(name=slug).first()
    if account is None:
        raise NotFoundError(f"There is no account {slug!r}; create_account makes one.")
    return account


def token_create(
    *,
    account_id: uuid.UUID,
    name: str,
    scopes: Iterable[str],
    actor: Actor,
    expires_at: dt.datetime | None = None,
) -> tuple[ApiToken, str]:
    """Create an API token. Return its row and its string, of which only a hash is stored.

    Raises InvalidInputError.
    """
    name, scopes = text.normalize_text(name), sorted(set(scopes))
    if fault := text.find_label_error(name, max_length=200):
        raise InvalidInputError.for_field("name", fault)
    if unknown := [scope for scope in scopes if scope not in scope_names.ALL]:
        raise InvalidInputError.for_field(
            "scopes", f"unknown: {', '.join(unknown)}; known: {', '.join(scope_names.ALL)}"
        )
    if not scopes:
        raise InvalidInputError.for_field(
            "scopes", f"must have at least one of {', '.join(scope_names.ALL)}"
        )
    if expires_at is not None and expires_at <= db_now():
        raise InvalidInputError.for_field("expires_at", "must lie in the future")
    secret = token_format.generate_token(token_format.TOKEN_PREFIX)
    with transaction.atomic():
        token = ApiToken.objects.create(
            account_id=account_id,
            name=name,
            scopes=scopes,
            digest=token_format.hash_token(secret),
            prefix=token_format.get_visible_prefix(secret),
            expires_at=expires_at,
            created_by=actor.name,
        )
        _record_bearer(actor, token, "token.created")
    return token, secret


def find_responsible_person(actor: str) -> str:
    """Return the user who created the token `actor` in the admin, as an actor, or `actor` itself."""
    name, _, id = actor.partition(":")
    if name != "token":
        return actor
    creators = ApiToken.objects.filter(id=id, created_by__startswith="user:")
    return creators.values_list("created_by", flat=True).first() or actor


def list_token_actors(person: str) -> list[str]:
    """Return the tokens that the user `person` created, as actors, also those that were revoked."""
    if not person.startswith("user:"):
        return []
    ids = ApiToken.objects.filter(created_by=person).values_list("id", flat=True)
    return [f"token:{id}" for id in ids]


def token_revoke(*, token: ApiToken, actor: Actor) -> None:
    """Revoke an API token. Requests with it are rejected as soon as the transaction commits."""
    with transaction.atomic():
        if ApiToken.objects.filter(id=token.id, revoked_at=None).update(revoked_at=DbNow()):
            _record_bearer(actor, token, "token.revoked")


def session_open(*, user: User, account_id: uuid.UUID, actor: Actor) -> tuple[Session, str]:
    """Create a session of 4 hours. Return its row and its string, of which only a hash is stored.

    A user has at most 5 sessions: the oldest ones end.
    """
    secret = token_format.generate_token(token_format.SESSION_PREFIX)
    with transaction.atomic():
        # One login of a user at a time, so that concurrent ones do not exceed the limit.
        User.objects.select_for_update().get(pk=user.pk)
        now = db_now()
        Session.objects.filter(user=user, expires_at__lte=now).delete()
        live = Session.objects.filter(user=user).order_by("-id").values_list("id", flat=True)
        Session.objects.filter(id__in=list(live)[MAX_LIVE_SESSIONS - 1 :]).delete()
        session = Session.objects.create(
            account_id=account_id,
            user=user,
            digest=token_format.hash_token(secret),
            prefix=token_format.get_visible_prefix(secret),
            expires_at=now + SESSION_LIFETIME,
            auth_hash=user.get_session_auth_hash(),
        )
        _record_bearer(actor, session, "session.opened")
    return session, secret


def session_close(*, session_id: uuid.UUID, account_id: uuid.UUID, actor: Actor) -> None:
    """End a session. Nothing happens if it has ended already."""
    with transaction.atomic():
        session = Session.objects.filter(id=session_id, account_id=account_id).first()
        if session is not None:
            session.delete()
            # Django clears the id of a deleted row.
            session.id = session_id
            _record_bearer(actor, session, "session.closed")


def rate_limit_set(
    *,
    account_id: uuid.UUID,
    token_id: uuid.UUID | None,
    name: str,
    requests: int | None,
    seconds: int,
    actor: Actor,
) -> None:
    """Override a rate limit of an account, or of one of its tokens. `requests` None removes that.

    Raises InvalidInputError, or NotFoundError for a token that is not the account's.
    """
    if requests is not None and not 1 <= requests <= MAX_RATE:
        raise InvalidInputError.for_field("requests", f"must be from 1 to {MAX_RATE:,}")
    if token_id and not ApiToken.objects.filter(account_id=account_id, id=token_id).exists():
        raise NotFoundError("There is no such token in this account.")
    with transaction.atomic():
        rows = RateLimitOverride.objects.filter(
            account_id=account_id, bearer_id=token_id, name=name
        )
        rows.delete()
        if requests is not None:
            RateLimitOverride.objects.create(
                account_id=account_id,
                bearer_id=token_id,
                name=name,
                requests=requests,
                seconds=seconds,
            )
        target = EventTarget("token" if token_id else "account", account_id, token_id or account_id)
        record_event(actor, target, f"{target.type}.rate_limit_changed", [name])


def _record_bearer(actor: Actor, row: ApiToken | Session, verb: str) -> None:
    record_event(actor, EventTarget(verb.partition(".")[0], row.account_id, row.id), verb)
