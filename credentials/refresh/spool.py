"""The last resort for a provider's response that the database does not accept: an encrypted file.

A provider with strict rotation has ended the former grant, so this file is all that is left of it.
It is stored as soon as the database accepts it: before the next refresh of that grant in a process
on this machine, and by every worker when it starts and while it runs.
"""

from __future__ import annotations

import datetime as dt
import os
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from common.actors import Actor
from common.datetimes import format_rfc3339, parse_rfc3339
from common.db.clock import db_now
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import NEEDS_REAUTH, NEW_GRANT, get_grant
from credentials.models import Credential, Grant
from credentials.refresh import token_storage
from credentials.refresh.token_update import TokenUpdate
from credentials.refresh.types import RefreshClaim
from vault.sealing import Place, SealedValue, SecretUnavailableError, seal, unseal
from vault.secret import Secret

log = structlog.get_logger(__name__)

_SUFFIX: Final = ".answer"

# Files that cannot be read and were reported by this process: once each is enough.
_reported: set[str] = set()


def write_spool_file(claim: RefreshClaim, update: TokenUpdate) -> None:
    """Write the response so that it outlives this process and a power cut. Raises OSError."""
    write_response(claim, update)
    log.error("refresh.spooled", id=str(claim.row.id))


def write_response(claim: RefreshClaim, update: TokenUpdate, *, suffix: str = "") -> None:
    """Write the response to a file. Unless `suffix` is empty, it is not replayed. Raises OSError."""
    row = claim.row
    delay = update.next_refresh_in
    next_at = None if delay is None else claim.claimed_at + dt.timedelta(seconds=delay)
    document = {
        "access_token": update.access_token.expose(),
        "refresh_token": update.refresh_token.expose() if update.refresh_token else None,
        "expires_at": format_rfc3339(update.expires_at),
        "next_at": format_rfc3339(next_at),
        "provider": row.provider,
        "oauth_app_id": str(row.oauth_app_id) if row.oauth_app_id else None,
        "properties": row.properties,
        "changed_properties": dict(update.properties),
    }
    name = f"{row.account_id}.{row.id}.{claim.generation}.{claim.owner}{_SUFFIX}"
    folder = Path(settings.SPOOL_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_atomically(folder / f"{name}{suffix}", seal(_place(name), document).blob)


def count_spool_files() -> int:
    """Return the number of responses that wait for the database."""
    return len(_list_files("*"))


def replay_all() -> int:
    """Store all files of the folder. Return how many are settled; errors of the database are logged."""
    return sum(replay_file(file) for file in _list_files("*"))


def replay_one(id: uuid.UUID) -> None:
    """Store the files of this credential, as `replay_all` does."""
    for file in _list_files(f"*.{id}.*"):
        replay_file(file)


def replay_file(file: Path) -> bool:
    """Store the response and delete the file. Return False if it has to stay."""
    try:
        claim, update = _read_file(file)
        if claim.grant.state == NEEDS_REAUTH:
            # The provider has rejected the grant since. It may have ended the whole family of
            # tokens, these included: only the next refresh shows it, so health stays as it is.
            with transaction.atomic():
                token_storage.store_token_update(
                    claim, replace(update, next_refresh_in=0), bare=True
                )
        else:
            token_storage.store_success(claim, update)
    except FileNotFoundError:
        return False  # Another process was first.
    except (OperationalError, InterfaceError, OSError) as error:
        log.warning("refresh.spool_waits", error=type(error).__name__)
        return False
    except (SecretUnavailableError, ValueError, LookupError, TypeError) as error:
        # A stray or damaged file, or one of a key that this server lacks, must stop nothing.
        if file.name not in _reported:
            _reported.add(file.name)
            log.error("refresh.spool_unreadable", file=file.name, error=type(error).__name__)
        return False
    file.unlink(missing_ok=True)
    log.warning("refresh.spool_replayed", id=str(claim.row.id))
    return True


def _read_file(file: Path) -> tuple[RefreshClaim, TokenUpdate]:
    account_id, id, generation, owner = file.name.removesuffix(_SUFFIX).split(".")
    document: dict[str, Any] = unseal(_place(file.name), SealedValue(file.read_bytes()))
    now = db_now()
    row = Credential.objects.select_related("grant", "oauth_app").filter(id=id).first()
    if row is not None and get_grant(row).generation == int(generation):
        secrets = decrypt_secrets(row)
    else:
        # The row as it was: the tokens are not stored then, but revoked.
        secrets = {}
        row = Credential(
            account_id=uuid.UUID(account_id),
            id=uuid.UUID(id),
            provider=document["provider"],
            oauth_app_id=document["oauth_app_id"],
            properties=document["properties"],
        )
        row.grant = Grant(generation=int(generation), **NEW_GRANT)
    claim = RefreshClaim(row=row, owner=owner, claimed_at=now, actor=Actor(name="worker"))
    refresh_token = document["refresh_token"]
    next_at = parse_rfc3339(document["next_at"])
    return claim, TokenUpdate(
        secrets=secrets,
        access_token=Secret(document["access_token"]),
        refresh_token=Secret(refresh_token) if refresh_token else None,
        expires_at=parse_rfc3339(document["expires_at"]),
        next_refresh_in=max((next_at - now).total_seconds(), 0) if next_at else None,
        properties=document.get("changed_properties", {}),
    )


def _write_atomically(file: Path, blob: bytes) -> None:
    """Write a file that has its name only once it is complete and on the disk."""
    part = file.with_name(f"{file.name}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(blob)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, file)
    # The new name is in the folder, which has to be on the disk, too.
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _list_files(pattern: str) -> list[Path]:
    folder = Path(settings.SPOOL_DIR)
    return sorted(folder.glob(pattern + _SUFFIX)) if folder.is_dir() else []


def _place(name: str) -> Place:
    # Part of the ciphertext: a renamed file cannot be decrypted.
    account_id, rest = name.removesuffix(_SUFFIX).split(".", 1)
    return Place("refresh_spool", "answer", account_id, rest)
