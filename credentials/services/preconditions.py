"""Checks that several services make while they have the row's lock."""

from __future__ import annotations

from common.errors import ConflictError
from credentials.models import Credential, CredentialAlias
from providers.kinds import Kind
from providers.registry import get_registry


def require_kind(row: Credential) -> Kind:
    """Return the kind of the credential.

    Raises ConflictError if no provider file of this server describes it: operators can remove one
    after credentials were stored.
    """
    kind = get_registry().get_kind(row.kind)
    if kind is None:
        raise ConflictError(f"This server has no provider file for the kind {row.kind}.")
    return kind


def keep_former_identity(row: Credential, identity: bytes, message: str) -> None:
    """Store the row's identity as an alias, before it gets another one.

    Raises ConflictError with `message` if another credential has the new identity, or had it.
    """
    former = bytes(row.identity)
    if former == identity:
        return
    require_free_identity(row, identity, message)
    aliases = CredentialAlias.objects.filter(account_id=row.account_id)
    # A former identity can come back: it is no alias then.
    aliases.filter(credential_id=row.id, identity=identity).delete()
    aliases.create(account_id=row.account_id, credential_id=row.id, identity=former)


def require_free_identity(row: Credential, identity: bytes, message: str) -> None:
    """Raise ConflictError with `message` if another credential has this identity, or had it.

    `extra["id"]` of the error is the other credential.
    """
    rows = Credential.objects.filter(account_id=row.account_id, identity=identity)
    aliases = CredentialAlias.objects.filter(account_id=row.account_id, identity=identity)
    other = (
        rows.exclude(id=row.id).values_list("id", flat=True).first()
        or aliases.exclude(credential_id=row.id).values_list("credential_id", flat=True).first()
    )
    if other:
        raise ConflictError(message, extra={"id": str(other)})
