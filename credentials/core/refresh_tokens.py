"""The table of known refresh tokens: each belongs to one credential, also once it was replaced.

If two credentials refresh with one token, a provider that rotates tokens ends the grant of both. So
an import, a rotation or a connection is rejected if another credential has, or had, its token.
"""

from __future__ import annotations

import base64
import functools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from django.db.models import QuerySet

from common.db import bulk_insert
from common.db.ids import to_uuid
from common.errors import ConflictError
from credentials.models import Credential, KnownRefreshToken
from providers.kinds import Kind
from providers.registry import get_registry

FIELD: Final = "refresh_token"

_TABLE: Final = KnownRefreshToken._meta.db_table
_COLUMNS: Final = {"fingerprint": "uuid", "account_id": "uuid", "credential_id": "uuid"}
_UNLESS_KNOWN: Final = "ON CONFLICT (fingerprint) DO NOTHING"
_BATCH_SIZE: Final = 500


class TokenInUseError(ConflictError):
    """Another credential has or had this refresh token (409). `extra["id"]` is that credential."""

    def __init__(self, id: uuid.UUID) -> None:
        reason = (
            f"is or was the refresh token of credential {id}, and a refresh of one would end the"
            " grant of both"
        )
        field = f"properties.{FIELD}"
        super().__init__(
            f"{field}: {reason}",
            fields={field: [reason]},
            extra={"code": "refresh_token_in_use", "id": str(id), "field": field},
        )


class KnownToken(NamedTuple):
    """The fingerprint of a refresh token, and the credential that has or had it."""

    fingerprint: str
    credential_id: uuid.UUID


@functools.cache
def may_rotate(kind: Kind) -> bool:
    """Return True if a refresh of this kind may replace its refresh token.

    That includes providers whose file does not say, as a lost grant is worse than a rejected import.
    """
    if kind.grant != "refresh_token" or FIELD not in kind.secret_fields:
        return False
    oauth = get_registry().get_oauth(kind.name)
    return not (oauth and oauth.refresh.rotates is False)


def has_kept_token(fingerprints: Mapping[str, Sequence[str]]) -> bool:
    """Return True if the grant was refreshed, and its provider did not replace the refresh token."""
    access, refresh = fingerprints.get("access_token", ()), fingerprints.get(FIELD, ())
    return len(set(access[:2])) == 2 and len(set(refresh)) == 1


def find_owners(account_id: uuid.UUID, fingerprints: Iterable[str]) -> dict[str, uuid.UUID]:
    """Return the credentials that have or had these refresh tokens, by fingerprint."""
    keys = {_build_key(fingerprint): fingerprint for fingerprint in fingerprints}
    if not keys:
        return {}
    rows = bulk_insert.fetch_matching(
        f"SELECT fingerprint, credential_id FROM {_TABLE}",  # noqa: S608 - our names alone
        account_id,
        "fingerprint",
        list(keys),
    )
    return {keys[to_uuid(key)]: to_uuid(id) for key, id in rows}


def require_free_token(row: Credential, kind: Kind, fingerprint: str) -> None:
    """Raise TokenInUseError if another credential of the account has or had this refresh token."""
    if not may_rotate(kind):
        return
    owner_id = find_owners(row.account_id, [fingerprint]).get(fingerprint)
    if owner_id is None or owner_id == row.id:
        return
    owner = Credential.objects.filter(id=owner_id).first()
    if owner is not None and not has_kept_token(owner.fingerprints):
        raise TokenInUseError(owner_id)


def belongs_to_another(row: Credential) -> bool:
    """Return True if the refresh token of `row` is known as that of another credential."""
    tokens = row.fingerprints.get(FIELD, ())[:1]
    return any(id != row.id for id in find_owners(row.account_id, tokens).values())


def add_tokens(account_id: uuid.UUID, tokens: Iterable[KnownToken]) -> None:
    """Record new tokens. Raises IntegrityError if another process has recorded one of them."""
    _insert(account_id, tokens)


def replace_tokens(account_id: uuid.UUID, tokens: Iterable[KnownToken]) -> None:
    """Record these tokens, and forget all others of their credentials, whose secrets are replaced.

    Raises IntegrityError if another process has recorded one of them.
    """
    new = {_build_key(token.fingerprint): token for token in tokens}
    stored = KnownRefreshToken.objects.filter(
        account_id=account_id, credential_id__in={token.credential_id for token in new.values()}
    )
    stored.exclude(fingerprint__in=list(new)).delete()
    kept = set(stored.values_list("fingerprint", flat=True))
    _insert(account_id, (token for key, token in new.items() if key not in kept))


def record_refresh(row: Credential, former: Mapping[str, Sequence[str]]) -> None:
    """Record the token that a refresh of `row` brought, and forget those that the row forgets.

    `former` are the row's fingerprints before. A token that another credential has stays its own: a
    provider's response is stored in any case.
    """
    before, after = former.get(FIELD, ()), row.fingerprints.get(FIELD, ())
    kind = get_registry().get_kind(row.kind)
    if before == after or kind is None or not may_rotate(kind):
        return
    # The current token before is recorded as well, because older code may have stored it.
    new = {*after[:1], *before[:1]} & set(after)
    _insert(row.account_id, (KnownToken(each, row.id) for each in new), suffix=_UNLESS_KNOWN)
    if dropped := set(before) - set(after):
        stored = KnownRefreshToken.objects.filter(account_id=row.account_id, credential_id=row.id)
        stored.filter(fingerprint__in=[_build_key(each) for each in dropped]).delete()


def record_rotation(row: Credential, kind: Kind, fingerprints: Mapping[str, Sequence[str]]) -> None:
    """Record the tokens of `row`, which has these fingerprints from now on.

    Raises IntegrityError if another process has just recorded the new one.
    """
    before, after = row.fingerprints.get(FIELD, ()), fingerprints.get(FIELD, ())
    if before == after or not may_rotate(kind):
        return
    # A token of another credential stays its own: `require_free_token` has permitted it here.
    owners = find_owners(row.account_id, after)
    own = (each for each in dict.fromkeys(after) if owners.get(each, row.id) == row.id)
    replace_tokens(row.account_id, [KnownToken(each, row.id) for each in own])


def record_existing(
    credentials: QuerySet[Credential],
    *,
    is_relevant: Callable[[str], bool],
    batch_size: int = _BATCH_SIZE,
) -> int:
    """Record the tokens of stored credentials, in batches by id. Return how many there are.

    `is_relevant` gets the name of a kind. If two credentials have one token, it belongs to the older
    one.
    """
    last = uuid.UUID(int=0)
    count = 0
    while True:
        rows = list(
            credentials.filter(id__gt=last)
            .order_by("id")
            .values_list("id", "account_id", "kind", "fingerprints")[:batch_size]
        )
        if not rows:
            return count
        last = rows[-1][0]
        by_account: dict[uuid.UUID, list[KnownToken]] = {}
        for id, account_id, kind, fingerprints in rows:
            if is_relevant(kind):
                tokens = by_account.setdefault(account_id, [])
                tokens += (
                    KnownToken(each, id) for each in dict.fromkeys(fingerprints.get(FIELD, ()))
                )
        for account_id, tokens in by_account.items():
            _insert(account_id, tokens, suffix=_UNLESS_KNOWN)
            count += len(tokens)


def _insert(account_id: uuid.UUID, tokens: Iterable[KnownToken], *, suffix: str = "") -> None:
    # An order of its own for each process could deadlock.
    rows = sorted((_build_key(each.fingerprint), account_id, each.credential_id) for each in tokens)
    bulk_insert.insert_rows(_TABLE, _COLUMNS, rows, suffix=suffix)


def _build_key(fingerprint: str) -> uuid.UUID:
    return uuid.UUID(bytes=base64.urlsafe_b64decode(f"{fingerprint}=="))
