"""What the proxy says where the provider gave no answer."""

from __future__ import annotations

import errno

from common.errors import Problem
from egress.errors import EgressError, TooSlow


class BadGateway(Problem):
    status = 502
    title = "Bad gateway"


class GatewayTimeout(Problem):
    status = 504
    title = "Gateway timeout"


class ClientGone(Exception):
    """The caller went away, or did not send what was announced."""


class BrokenStream(ConnectionResetError):
    """The answer ended early after its head was sent: the server closes the connection unfinished.

    An error as of a connection, which the server takes as such, without a traceback in the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(errno.ECONNRESET, reason)


def upstream_failed(error: EgressError) -> Problem:
    """No answer came. The text names the host and the reason, and nothing of the request."""
    kind = GatewayTimeout if isinstance(error, TooSlow) else BadGateway
    return kind(f"The provider gave no answer. {error}.", extra={"code": "upstream_failed"})
