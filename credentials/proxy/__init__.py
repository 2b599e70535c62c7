"""Use of a credential without seeing it: a request is forwarded with the credential on it.

For every request:

- The credential is sent to the host of its provider's API and to no other. The caller chooses a path
  below the provider's base URL, which is kept byte for byte or rejected (`target.py`).
- The caller's token is in one header and is not forwarded; neither are cookies and the headers of
  other proxies (`caller_token.py`, `headers.py`).
- `last_used_at` and the event are committed before the caller receives any of the response. No
  transaction and no database connection is open while a body is transferred.
- Bodies are streamed in both directions. The caller can see if a response broke off
  (`response_stream.py`).
- A secret that the provider sends back is masked (`redaction.py`).

The WSGI application (`wsgi.py`) runs on a server of its own: `manage.py serve_proxy`.
"""
