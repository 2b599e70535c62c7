"""What the proxy says where the provider gave no answer."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import Error

from common.errors import ServiceError
from egress import EgressError, EgressTimeoutError

log = structlog.get_logger(__name__)


class BadGateway(ServiceError):
    status = 502
    title = "Bad gateway"


class GatewayTimeout(ServiceError):
    status = 504
    title = "Gateway timeout"


class AuditWriteError(ServiceError):
    """Without Retry-After: what was sent may have taken effect."""

    status = 503
    title = "Service unavailable"


class ClientDisconnectedError(Exception):
    """The caller went away, or did not send what was announced."""


class BrokenStreamError(ConnectionResetError):
    """The answer ended early after its head was sent: the server closes the connection unfinished.

    An error as of a connection, which the server takes as such, without a traceback in the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(errno.ECONNRESET, reason)


def build_upstream_error(error: EgressError) -> ServiceError:
    """No answer came. The text names the host and the reason, and nothing of the request."""
    kind = GatewayTimeout if isinstance(error, EgressTimeoutError) else BadGateway
    return kind(f"The provider gave no answer. {error}.", extra={"code": "upstream_failed"})


@contextmanager
def require_audit_write() -> Iterator[None]:
    """For what has to be noted of a request that has gone out: NotWrittenDown where the database fails."""
    try:
        yield
    except Error as error:
        log.warning("proxy.audit_write_failed", cause=type(error).__name__)
        raise AuditWriteError(
            "The request may have reached the provider, but this could not be written down, so its"
            " answer is kept back. Look there before you send it again.",
            extra={"code": "audit_write_failed"},
        ) from None
