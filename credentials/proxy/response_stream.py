"""The provider's response on its way to the caller, piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Final

import structlog

from credentials.proxy import metrics
from credentials.proxy.audit import EchoRecorder
from credentials.proxy.connection import CallerConnection
from credentials.proxy.errors import BrokenStreamError
from credentials.proxy.link_rewriting import JsonLinkRewriter
from credentials.proxy.redaction import InspectingFilter, MaskingFilter, SecretEchoedError
from egress import EgressError, StreamingResponse

log = structlog.get_logger(__name__)

BODILESS_STATUSES: Final = frozenset({204, 304})

BodyFilter = MaskingFilter | InspectingFilter | JsonLinkRewriter


class ResponseStream:
    """The body that the WSGI server iterates, and closes in any case.

    `resources` are released by `close`. A response that breaks off raises BrokenStreamError, upon
    which the server closes the connection without the regular end of a body.
    """

    def __init__(
        self,
        response: StreamingResponse,
        body_filter: BodyFilter,
        resources: ExitStack,
        *,
        connection: CallerConnection,
        echo_recorder: EchoRecorder,
    ) -> None:
        self._response = response
        self._filter = body_filter
        self._resources = resources
        self._connection = connection
        self._echo_recorder = echo_recorder
        self._pieces = self._iterate()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Release the provider's connection, or close it if the body was not read to its end."""
        self._pieces.close()
        self._resources.close()

    def _iterate(self) -> Generator[bytes]:
        if self._response.get_header("content-length") is None:
            # The server sends the headers with the first piece. A stream of events may have none
            # for minutes.
            yield b""
        try:
            for piece in self._response:
                yield from self._filter_piece(piece)
            if rest := self._filter.flush():
                metrics.SENT_BYTES.inc(len(rest))
                yield rest
        except EgressError as error:
            side = "caller" if self._connection.disconnected else "provider"
            raise self._break_off(side, error.reason) from None
        except SecretEchoedError as error:
            side = "echo" if self._filter.secret_found else "provider"
            raise self._break_off(side, str(error)) from None
        except Exception as error:  # A piece whose echo could not be recorded must not go on.
            raise self._break_off("ours", type(error).__name__) from None

    def _filter_piece(self, piece: bytes) -> Iterator[bytes]:
        try:
            filtered = self._filter.feed(piece)
        finally:
            # The event is committed before the caller receives anything of this piece.
            if self._filter.secret_found:
                self._echo_recorder.record()
        if filtered:
            metrics.SENT_BYTES.inc(len(filtered))
            yield filtered

    def _break_off(self, side: str, reason: str) -> BrokenStreamError:
        metrics.BROKEN_STREAMS.labels(side).inc()
        if side != "caller":
            log.warning("proxy.broken", side=side, reason=reason)
        with contextlib.suppress(OSError):
            self._connection.reset()
        return BrokenStreamError(reason)
