"""Errors of the proxy itself, for requests that got no complete response from the provider."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import Error

from common.errors import ServiceError
from egress import EgressError, EgressTimeoutError

log = structlog.get_logger(__name__)


class BadGatewayError(ServiceError):
    status = 502
    title = "Bad gateway"


class GatewayTimeoutError(ServiceError):
    status = 504
    title = "Gateway timeout"


class AuditWriteError(ServiceError):
    """The provider may have received the request, but the audit log could not be written.

    It has no Retry-After: the request may have taken effect.
    """

    status = 503
    title = "Service unavailable"


class ClientDisconnectedError(Exception):
    """The caller disconnected, or did not send the whole body."""


class BrokenStreamError(ConnectionResetError):
    """The response ended early, after its headers were sent.

    The server then closes the connection without the regular end of a body. It treats connection
    errors in that way, without a traceback in its log, hence the base class.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(errno.ECONNRESET, reason)


def build_upstream_error(error: EgressError) -> ServiceError:
    """Return the error for a call that got no response.

    Its text names the host and the reason, and nothing of the request.
    """
    error_class = GatewayTimeoutError if isinstance(error, EgressTimeoutError) else BadGatewayError
    return error_class(
        f"The provider sent no response. {error}.", extra={"code": "upstream_failed"}
    )


@contextmanager
def require_audit_write() -> Iterator[None]:
    """Raise AuditWriteError if the database fails within the block."""
    try:
        yield
    except Error as error:
        log.warning("proxy.audit_write_failed", cause=type(error).__name__)
        raise AuditWriteError(
            "The request may have reached the provider, but it could not be recorded in the audit log,"
            " so the response is withheld. Check with the provider before you send it again.",
            extra={"code": "audit_write_failed"},
        ) from None
