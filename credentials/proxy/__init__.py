"""Use without seeing: a caller's request goes on with a credential on it, and the answer comes back.

What holds for every request:

- The credential goes to the host of its provider's data and to no other; the caller chooses a path
  below it, which is taken byte for byte or refused (`target.py`).
- The caller's token is in one header and goes no further; nor do their cookies and what proxies in
  front have noted (`tokens.py`, `headers.py`).
- Before a byte of the answer goes to the caller, `last_used_at` and the event are committed. No
  transaction, and no database connection, is held while a body moves.
- Bodies move in pieces, both ways. An answer that breaks off looks broken to the caller (`relay.py`).
- What the credential was put on may come back in the answer; it is masked (`redaction.py`).

It is an application of its own (`app.py`) on a server of its own: `manage.py serve_proxy`.
"""
