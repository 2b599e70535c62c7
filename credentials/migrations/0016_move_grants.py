"""Move the state of refreshes from the credentials to their grants, a thousand rows at a time.

Each batch is a transaction. An interrupted run goes on where it stopped when it is started again.
"""

from django.db import migrations, transaction

from common.db import dialect
from providers.registry import get_registry

BATCH = 1000

# A kind can lack its provider's file at the moment, but the state of its rows must not be lost.
_HAS_STATE = """grant_id IS NULL AND (kind IN ({kinds}) OR refresh_next_at IS NOT NULL
    OR refresh_last_at IS NOT NULL OR lease_until IS NOT NULL OR refresh_unknowns > 0
    OR refresh_state <> 'active')"""
_LAST_OF_BATCH = """SELECT id FROM credentials_credential WHERE {condition} AND id > %s
    ORDER BY id LIMIT 1 OFFSET {offset}"""
# The id of the credential is free in the new table, and the ciphertext of `previous` is of that id.
# A lease counts no attempt any more, and a leased grant is due.
_INSERT = """
    INSERT INTO credentials_grant (
        id, account_id, oauth_app_id, generation, previous, lease_owner, lease_until,
        lease_renewed_at, state, unknowns, failures, failing_since, rejected_since, last_at,
        next_at, error
    )
    SELECT id, account_id, oauth_app_id, generation, previous, former_lease_owner, lease_until,
        lease_renewed_at, refresh_state,
        CASE WHEN lease_until IS NOT NULL AND refresh_unknowns > 0 THEN refresh_unknowns - 1
            ELSE refresh_unknowns END,
        refresh_failures, refresh_failing_since, refresh_rejected_since, refresh_last_at,
        CASE WHEN lease_until IS NOT NULL AND (refresh_next_at IS NULL OR refresh_next_at > {now})
            THEN {now} ELSE refresh_next_at END,
        refresh_error
    FROM credentials_credential WHERE {condition} AND id > %s AND id <= %s
"""
_REFER = "UPDATE credentials_credential SET grant_id = id WHERE {condition} AND id > %s AND id <= %s"

FIRST_ID = "00000000-0000-0000-0000-000000000000"
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def move(apps, schema_editor):
    last = FIRST_ID
    while last is not None:
        last = move_batch(schema_editor.connection, last)


def move_batch(connection, first):
    """Move up to BATCH rows whose ids are above `first`. Return the last id, None at the end."""
    kinds = sorted(name for name, kind in get_registry().kinds.items() if kind.refreshes)
    texts = {
        "condition": _HAS_STATE.format(kinds=", ".join(["%s"] * len(kinds))),
        "now": dialect.now_sql(),
        "offset": BATCH - 1,
    }
    first = _adapt(first)
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(_LAST_OF_BATCH.format(**texts), [*kinds, first])
        row = cursor.fetchone()
        last = row[0] if row else _adapt(LAST_ID)
        cursor.execute(_INSERT.format(**texts), [*kinds, first, last])
        cursor.execute(_REFER.format(**texts), [*kinds, first, last])
    return row and str(last)


def _adapt(id):
    return dialect.choose(postgresql=id, sqlite=id.replace("-", ""))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("credentials", "0015_grants")]
    # Going back would lose the refreshes since then, and with them the grants.
    operations = [migrations.RunPython(move)]
