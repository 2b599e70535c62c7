"""What an import changes in the row that is there: absent keys keep, refreshed tokens are not rolled back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from common.datetimes import format_rfc3339
from common.db.ids import uuid7
from common.errors import ConflictError, InvalidInputError
from common.health import build_unknown_health
from common.strict_json import is_equal
from credentials.core.encryption import can_decrypt, decrypt_ciphertext, encrypt_secrets
from credentials.core.grant_state import start_history
from credentials.imports.validation import ImportItem
from vault.sealing import SealedValue
from vault.services import compute_fingerprint

MAX_CLOCK_SKEW: Final = dt.timedelta(minutes=5)


class StoredCredential(NamedTuple):
    """The columns of a credential that an import may change, in the order they are written."""

    id: uuid.UUID
    identity: bytes
    oauth_app_id: uuid.UUID | None
    provider: str
    name: str
    owner_email: str
    external_id: str
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]
    health: Mapping[str, Any]
    secrets: SealedValue | None
    fingerprints: Mapping[str, list[str]]
    obtained_at: dt.datetime | None
    expires_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """A row to be written, and the names of what changed; none at all: it is as it was.

    `other_secrets`: it replaces a grant, so that what is under way with that one no longer counts.
    """

    row: StoredCredential
    changed: list[str]
    created: bool
    replaces_secrets: bool = False


def plan_create(item: ImportItem, *, account_id: uuid.UUID, now: dt.datetime) -> PlannedWrite:
    """A new row. Raises Invalid for the required secrets that `item` leaves out."""
    _check_obtained(item, now)
    if item.missing_secrets:
        raise InvalidInputError.for_fields(
            {f"properties.{name}": ["is required"] for name in item.missing_secrets}
        )
    id = uuid7()
    prints = {
        name: start_history(compute_fingerprint(account_id, value))
        for name, value in item.secrets.items()
    }
    row = StoredCredential(
        id=id,
        identity=item.identity,
        oauth_app_id=item.app_id,
        provider=item.provider,
        name=item.name or "",
        owner_email=item.owner_email or "",
        external_id=item.external_id or "",
        properties=item.properties,
        metadata=item.metadata or {},
        health=build_unknown_health(now),
        secrets=encrypt_secrets(account_id, id, item.secrets),
        fingerprints=prints,
        obtained_at=item.obtained_at,
        expires_at=item.expires_at,
    )
    return PlannedWrite(row=row, changed=[], created=True)


def plan_update(
    item: ImportItem,
    row: StoredCredential,
    *,
    account_id: uuid.UUID,
    now: dt.datetime,
    by_former_identity: bool = False,
) -> PlannedWrite:
    """`row` with what `item` says. `former`: the row was found by an identity that it had before.

    Then its properties are as old as the secrets beside them, and only with a new secret do they
    count.

    Raises Conflict for a body obtained before the one that is stored, and SecretUnavailable (409)
    for a row that does not open, unless `item` has all its secrets: then they replace it.
    """
    _check_obtained(item, now)
    if item.obtained_at and row.obtained_at and item.obtained_at < row.obtained_at:
        stored = format_rfc3339(row.obtained_at)
        raise ConflictError(f"obtained_at: is older than what is stored ({stored}).")
    news = _secret_news(item, row, account_id)
    if by_former_identity and not news.changed:
        item = _outdated(item, row)
    secrets = row.secrets
    prints = dict(row.fingerprints)
    if news.changed:
        secrets = _resealed(item, row, news, account_id)
        prints |= {name: start_history(news.prints[name]) for name in news.changed}
    properties = _properties(item, row, news)
    merged = row._replace(
        oauth_app_id=None if item.clears_app else item.app_id or row.oauth_app_id,
        name=row.name if item.name is None else item.name,
        owner_email=row.owner_email if item.owner_email is None else item.owner_email,
        properties=properties,
        metadata=row.metadata if item.metadata is None else item.metadata,
        health=build_unknown_health(now) if news.changed else row.health,
        secrets=secrets,
        fingerprints=prints,
        obtained_at=item.obtained_at or row.obtained_at,
        expires_at=_expiry(item, row, properties),
    )
    return PlannedWrite(
        row=merged,
        changed=_changed(row, merged, news),
        created=False,
        replaces_secrets=bool(news.changed),
    )


def _outdated(item: ImportItem, row: StoredCredential) -> ImportItem:
    """`item` without what goes with a secret that was rotated away: a key's id, an expiry."""
    labels = {name: value for name, value in item.properties.items() if name in {"kind", "name"}}
    return replace(item, properties=labels, expires_at=row.expires_at)


def _check_obtained(item: ImportItem, now: dt.datetime) -> None:
    """A time to come would shut out every later import."""
    if item.obtained_at and item.obtained_at > now + MAX_CLOCK_SKEW:
        raise InvalidInputError.for_field("obtained_at", "lies in the future")


@dataclass(frozen=True, slots=True)
class _SecretNews:
    """`changed`: given secrets that replace what is held; `stale`: given ones that a refresh replaced."""

    prints: dict[str, str]
    changed: list[str]
    stale: list[str]


def _secret_news(item: ImportItem, row: StoredCredential, account_id: uuid.UUID) -> _SecretNews:
    prints = {name: compute_fingerprint(account_id, value) for name, value in item.secrets.items()}
    changed = [
        name for name, print in prints.items() if print not in row.fingerprints.get(name, ())
    ]
    stale = [
        name
        for name, print in prints.items()
        if name not in changed and print != row.fingerprints[name][0]
    ]
    if row.secrets and not changed and not can_decrypt(account_id, row.id, row.secrets):
        # Nobody can read what is held. All secrets at once replace it; fewer are refused below.
        return _SecretNews(prints, sorted(prints) or sorted(row.fingerprints), [])
    return _SecretNews(prints, changed, stale)


def _resealed(
    item: ImportItem, row: StoredCredential, news: _SecretNews, account_id: uuid.UUID
) -> SealedValue | None:
    """The new secrets with those held that `item` leaves out, or has in an outdated version."""
    given = {name: value for name, value in item.secrets.items() if name not in news.stale}
    held: dict[str, str] = {}
    if set(row.fingerprints) - set(given):
        held = decrypt_ciphertext(account_id, row.id, row.secrets)
    return encrypt_secrets(account_id, row.id, {**held, **given})


def _properties(item: ImportItem, row: StoredCredential, news: _SecretNews) -> dict[str, Any]:
    """Stored properties under the given ones. A token's expiry comes and goes with the token."""
    given = dict(item.properties)
    stored = dict(row.properties)
    token = "access_token" if "access_token" in row.fingerprints else None
    renewed = token in news.changed if token else bool(news.changed)
    if not renewed and ("expires_at" in stored or token in news.stale):
        given.pop("expires_at", None)
    if "access_token" in news.changed and "expires_at" not in given:
        stored.pop("expires_at", None)
    return {**stored, **given}


def _expiry(
    item: ImportItem, row: StoredCredential, properties: Mapping[str, Any]
) -> dt.datetime | None:
    if properties.get("expires_at") == row.properties.get("expires_at"):
        return row.expires_at
    return item.expires_at


def _changed(row: StoredCredential, merged: StoredCredential, news: _SecretNews) -> list[str]:
    plain = ("oauth_app_id", "name", "owner_email", "obtained_at")
    names = [name for name in plain if getattr(row, name) != getattr(merged, name)]
    if not is_equal(row.metadata, merged.metadata):
        names.append("metadata")
    fields = sorted({*row.properties, *merged.properties})
    names += [
        f"properties.{field}"
        for field in fields
        if field in news.changed
        or (field in row.properties) != (field in merged.properties)
        or not is_equal(row.properties[field], merged.properties[field])
    ]
    return names
