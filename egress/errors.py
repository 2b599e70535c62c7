"""The errors of outbound requests. Their messages may be logged and shown to customers."""

from __future__ import annotations


class EgressError(Exception):
    """There is no response, or not all of it.

    `host` is the name in the URL ("" if it could not be read), `reason` the rest of the sentence.
    Neither contains a path, query, header or body, nor an address that a name resolved to. `sent` is
    False only if no byte of the request can have left; then it is safe to repeat.
    """

    def __init__(self, host: str, reason: str, *, sent: bool = False) -> None:
        super().__init__(f"{host or 'The URL'}: {reason}")
        self.host = host
        self.reason = reason
        self.sent = sent


class BlockedByPolicyError(EgressError):
    """The request is not allowed; retrying cannot help."""


class ConnectError(EgressError):
    """The name does not resolve, nothing listens, or the TLS certificate is not valid."""


class ProtocolError(ConnectError):
    """The connection broke, or what came over it is not HTTP."""


class EgressTimeoutError(EgressError):
    """A deadline passed: while connecting, waiting, or reading the body."""


class ResponseTooLargeError(EgressError):
    """The body of the response exceeds the limit, as received or decompressed."""
