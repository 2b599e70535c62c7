"""Going on without a lost key: what it encrypted cannot be decrypted any more, the rest works."""

from __future__ import annotations

from common.db.clock import DbNow
from common.errors import InvalidInputError
from vault.keyring import get_keyring
from vault.models import INDEX_KEY_ID, Canary, IndexKey


def forget_key(key_id: str) -> None:
    """Let processes start although rows are encrypted with the key of this id. Nothing is deleted.

    Raises InvalidInputError for an id that never encrypted anything here, for a key that is still in
    the keyring, and for the key that the index key is encrypted with.
    """
    if get_keyring().get(key_id) is not None:
        raise InvalidInputError.for_field(
            "ID", f"{key_id} is not lost: VAULT_KEYS has it; remove it there first"
        )
    index_key = IndexKey.objects.filter(pk=INDEX_KEY_ID).first()
    # Without the index key, no stored fingerprint or identity could be compared again.
    if index_key is not None and index_key.sealed.key_id == key_id:
        raise InvalidInputError.for_field(
            "ID", f"{key_id} seals the index key: only a backup of that key helps (docs/running.md)"
        )
    if not Canary.objects.filter(key_id=key_id).update(forgotten_at=DbNow()):
        raise InvalidInputError.for_field("ID", "no key of this id has sealed anything here")
