"""Why no answer came. The text is fit for logs and for tenants: a host and a reason, no more."""

from __future__ import annotations


class EgressError(Exception):
    """No answer, or not all of it.

    `host` is the name in the URL ("" where none could be read) and `reason` the rest of the
    sentence. Neither holds a path, query, header or body, nor an address that a name led to.
    `sent` is False only where no byte of the request can have left: then it is safe to repeat.
    """

    def __init__(self, host: str, reason: str, *, sent: bool = False) -> None:
        super().__init__(f"{host or 'The URL'}: {reason}")
        self.host = host
        self.reason = reason
        self.sent = sent


class BlockedByPolicyError(EgressError):
    """Policy: this request is not made, however often it is tried."""


class ConnectError(EgressError):
    """No connection: the name does not resolve, nothing listens, or TLS does not verify."""


class ProtocolError(ConnectError):
    """There was a connection, but what came over it ended early or is not HTTP."""


class EgressTimeoutError(EgressError):
    """A deadline passed: connecting, waiting, or in the middle of the body."""


class ResponseTooLargeError(EgressError):
    """The answer's body is over the limit, as it came or once decompressed."""
