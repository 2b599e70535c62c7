"""Access tokens that are fresh, got so that no grant is ever lost.

What holds under any interleaving of processes and any single crash:

- One request at a time for one grant: a lease of 20 s, taken by one conditional UPDATE that also
  checks that the grant is still the one that was seen (`lease.py`); it outlives the call's 12 s.
- The attempt is written down before the call, its outcome after, and only if both generation and
  lease are still what they were (`outcomes.py`). Nobody sees a token before it is stored.
- A stored grant is never replaced by an older one. What comes back for a grant that was deleted or
  imported anew meanwhile is thrown away and revoked.
- An answer that cannot be stored is written to a sealed file (`spool.py`) and stored later.
- Only the provider's clear refusal ends a grant, once. An error of the OAuth app pauses the app, an
  outage nothing: it is tried again, ever less often, but at least once an hour.
- No transaction and no database connection is held during the call or while waiting for another's.
"""

from credentials.refresh.services import get_fresh_token
from credentials.refresh.types import AccessToken

__all__ = ["AccessToken", "get_fresh_token"]
