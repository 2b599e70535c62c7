"""Fresh access tokens, obtained so that no grant is ever lost.

These rules hold under any interleaving of processes and any single crash:

- One request at a time for one grant. A lease of 20 s is acquired by one conditional UPDATE, which
  also checks that the grant is still the one that was read (`lease.py`). The call takes at most 12 s.
- The attempt is stored before the call and its outcome after it, the latter only if generation and
  lease are unchanged (`token_storage.py`, `outcomes.py`). No caller gets a token before it is stored.
- A stored grant is never replaced by an older one. A response for a grant that was deleted or
  imported again in the meantime is discarded and its tokens are revoked.
- A response that cannot be stored is written to an encrypted file (`spool.py`) and stored later.
- Only an explicit rejection by the provider ends a grant, once. An error of the OAuth app pauses the
  app. After an outage the refresh is retried with growing delays, at least once an hour.
- No transaction and no database connection is kept during the call or while waiting for a lease.
"""

from credentials.refresh.services import get_fresh_token
from credentials.refresh.types import AccessToken

__all__ = ["AccessToken", "get_fresh_token"]
