"""The HTTP client for all outbound requests: the only code that opens a socket. No tables.

`send`, `stream` and `check_url` use the client of the process. Each takes a whole URL and validates
it again, regardless of its origin.

- **Targets**: https on port 443 of a DNS name whose addresses are all public (`policy`). The
  connection goes to an address that was validated, not to the result of a second DNS query, and the
  peer is compared after connecting. `EGRESS_ALLOW` (`host:port,…`) allows single targets with plain
  http, other ports and private addresses. It never allows link-local addresses, because clouds
  serve the credentials of their machines there.
- **Requests**: what the caller passes, and Host, length, Accept-Encoding and a User-Agent. No
  redirect is followed, nothing is retried, no cookie is stored, no proxy or netrc is read from the
  environment.
- **Limits** (`Timeouts`): 3 s for DNS, connection and TLS, 12 s in all, 1 MiB of decompressed body.
  They apply to a peer that sends one byte a second, too.
- **Results**: a response with any status, or one `EgressError`: `BlockedByPolicyError`,
  `ConnectError`, `ProtocolError`, `EgressTimeoutError`, `ResponseTooLargeError`. Its message names
  the host and no other part of the request or response. `sent` is False if the host cannot have
  seen the request; a refresh must know that before it may try again.

Connections are pooled per host, bounded, and shared by the threads of a process; a forked process
starts without any. A call inside a database transaction raises RuntimeError, because the
transaction's locks would wait for a remote host.
"""

from egress.client import Client, check_url, get_default_client, send, stream
from egress.deadline import Timeouts
from egress.errors import (
    BlockedByPolicyError,
    ConnectError,
    EgressError,
    EgressTimeoutError,
    ProtocolError,
    ResponseTooLargeError,
)
from egress.requests import Request
from egress.responses import Response, StreamingResponse

__all__ = [
    "BlockedByPolicyError",
    "Client",
    "ConnectError",
    "EgressError",
    "EgressTimeoutError",
    "ProtocolError",
    "Request",
    "Response",
    "ResponseTooLargeError",
    "StreamingResponse",
    "Timeouts",
    "check_url",
    "get_default_client",
    "send",
    "stream",
]
