"""The last resort: a provider's answer that the database did not take, in a sealed file.

The grant that it succeeds is dead where the provider rotates strictly, so this file is all that is
left of it. It is stored as soon as the database takes it: before the next refresh of that grant in a
process on this machine, and by every worker when it starts and while it runs.
"""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from common.actors import Actor
from common.datetimes import format_rfc3339, parse_rfc3339
from common.db.clock import db_now
from credentials.core.encryption import decrypt_secrets
from credentials.models import Credential
from credentials.refresh import outcomes
from credentials.refresh.token_update import TokenUpdate
from credentials.refresh.types import RefreshClaim
from vault.sealing import Place, SealedValue, SecretUnavailableError, seal, unseal
from vault.secret import Secret

log = structlog.get_logger(__name__)

_ENDING: Final = ".answer"


def write_spool_file(claim: RefreshClaim, renewal: TokenUpdate) -> None:
    """Write the answer so that it outlives this process and a power cut. Raises OSError."""
    row = claim.row
    name = f"{row.account_id}.{row.id}.{claim.generation}.{claim.owner}{_ENDING}"
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / name, seal(_place(name), _document(claim, renewal)).blob)
    log.error("refresh.spooled", id=str(row.id))


def replay_all() -> int:
    """Store what lies in the folder; how many answers were settled. Never raises for the database."""
    return sum(_settled(file) for file in _files("*"))


def replay_one(id: uuid.UUID) -> None:
    """Store what lies there for this credential: its grant may be the dead one."""
    for file in _files(f"*.{id}.*"):
        _settled(file)


def _settled(file: Path) -> bool:
    """Whether the answer in `file` is stored, or no longer wanted; then the file is gone."""
    try:
        claim, renewal = _read(file)
        with transaction.atomic():
            outcomes.store_token_update(claim, renewal, bare=True)
    except FileNotFoundError:
        return False  # Another process was first.
    except (OperationalError, InterfaceError, SecretUnavailableError, OSError) as error:
        log.warning("refresh.spool_waits", error=type(error).__name__)
        return False
    file.unlink(missing_ok=True)
    log.warning("refresh.spool_replayed", id=str(claim.row.id))
    return True


def _read(file: Path) -> tuple[RefreshClaim, TokenUpdate]:
    account_id, id, generation, owner = file.name.removesuffix(_ENDING).split(".")
    document: dict[str, Any] = unseal(_place(file.name), SealedValue(file.read_bytes()))
    now = db_now()
    row = Credential.objects.select_related("oauth_app").filter(id=id).first()
    held = decrypt_secrets(row) if row is not None and row.generation == int(generation) else {}
    if row is None or row.generation != int(generation):
        row = _as_it_was(account_id, id, int(generation), document)
    claim = RefreshClaim(row=row, owner=owner, claimed_at=now, actor=Actor(name="worker"))
    refresh = document["refresh_token"]
    due = parse_rfc3339(document["next_at"])
    return claim, TokenUpdate(
        secrets=held,
        access_token=Secret(document["access_token"]),
        refresh_token=Secret(refresh) if refresh else None,
        expires_at=parse_rfc3339(document["expires_at"]),
        next_refresh_in=max((due - now).total_seconds(), 0) if due else None,
    )


def _as_it_was(account_id: str, id: str, generation: int, document: dict[str, Any]) -> Credential:
    """The row that the answer was for, where it is gone or another by now."""
    return Credential(
        account_id=uuid.UUID(account_id),
        id=uuid.UUID(id),
        generation=generation,
        provider=document["provider"],
        oauth_app_id=document["oauth_app_id"],
        properties=document["properties"],
    )


def _document(claim: RefreshClaim, renewal: TokenUpdate) -> dict[str, Any]:
    row = claim.row
    due = renewal.next_refresh_in
    return {
        "access_token": renewal.access_token.expose(),
        "refresh_token": renewal.refresh_token.expose() if renewal.refresh_token else None,
        "expires_at": format_rfc3339(renewal.expires_at),
        "next_at": None
        if due is None
        else format_rfc3339(claim.claimed_at + dt.timedelta(seconds=due)),
        "provider": row.provider,
        "oauth_app_id": str(row.oauth_app_id) if row.oauth_app_id else None,
        "properties": row.properties,
    }


def _write(file: Path, blob: bytes) -> None:
    """Under its name only when it is whole and on the disk."""
    part = file.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(blob)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _files(pattern: str) -> Iterator[Path]:
    folder = _folder()
    return iter(sorted(folder.glob(pattern + _ENDING))) if folder.is_dir() else iter(())


def _folder() -> Path:
    return Path(settings.SPOOL_DIR)


def _place(name: str) -> Place:
    account_id, rest = name.removesuffix(_ENDING).split(".", 1)
    return Place("refresh_spool", "answer", account_id, rest)
