"""Going on without a key that is lost for good: what it sealed stays shut, the rest works."""

from __future__ import annotations

from django.db import transaction

from common.db.clock import DbNow
from common.errors import InvalidInputError
from vault.keyring import get_keyring
from vault.models import INDEX_KEY_ID, Canary, IndexKey


def forget_key(key_id: str) -> None:
    """Let processes start although rows are sealed with the key of this id. Nothing is deleted.

    Raises Invalid for an id that never sealed here, for a key that is still in the ring, and for
    the one that the index key is sealed with: without that, no identity could be told again.
    """
    if get_keyring().get(key_id) is not None:
        raise InvalidInputError.for_field(
            "ID", f"{key_id} is not lost: VAULT_KEYS has it; take it out first"
        )
    index = IndexKey.objects.filter(pk=INDEX_KEY_ID).first()
    if index is not None and index.sealed.key_id == key_id:
        raise InvalidInputError.for_field(
            "ID", f"{key_id} seals the index key: only a backup of that key helps (docs/running.md)"
        )
    with transaction.atomic():
        if not Canary.objects.filter(key_id=key_id).update(forgotten_at=DbNow()):
            raise InvalidInputError.for_field("ID", "no key of this id has sealed anything here")
