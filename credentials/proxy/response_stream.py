"""An answer on its way to the caller, piece by piece as it comes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Final

import structlog

from credentials.proxy import metrics
from credentials.proxy.errors import BrokenStreamError
from credentials.proxy.link_rewriting import JsonLinkRewriter
from credentials.proxy.redaction import InspectingFilter, MaskingFilter, SecretEchoedError
from egress import EgressError, StreamingResponse

log = structlog.get_logger(__name__)

BODILESS_STATUSES: Final = frozenset({204, 304})


class ResponseStream:
    """What the server iterates, and closes whatever happens. Whoever made `held` gives it up to this.

    An answer that breaks off raises BrokenStream, upon which the server closes the connection
    without the end that a whole answer would have. `on_echo` is called once, before the piece in
    which a secret was found goes on (masked, or not at all); `on_break` before BrokenStream.
    `is_gone` says whether it was the caller who went.
    """

    def __init__(
        self,
        answer: StreamingResponse,
        filter: MaskingFilter | InspectingFilter | JsonLinkRewriter,
        held: ExitStack,
        *,
        at_once: bool,
        on_echo: Callable[[], None],
        on_break: Callable[[], None],
        is_gone: Callable[[], bool],
    ) -> None:
        self._held = held
        self._filter = filter
        self._on_echo = on_echo
        self._on_break = on_break
        self._is_gone = is_gone
        self._pieces = self._all(answer, at_once)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Give back the connection, or end it where the answer was not read to its end."""
        self._pieces.close()
        self._held.close()

    def _all(self, answer: StreamingResponse, at_once: bool) -> Generator[bytes]:
        if at_once:
            yield b""  # The server sends the head with it, before there is anything to follow.
        try:
            for piece in answer:
                yield from self._passed(piece)
            if rest := self._filter.flush():
                yield self._counted(rest)
        except EgressError as error:
            side = "caller" if self._is_gone() else "provider"
            raise self._broken(side, error.reason) from None
        except SecretEchoedError as echo:
            side = "echo" if self._filter.secret_found else "provider"
            raise self._broken(side, str(echo)) from None
        except Exception as error:  # An echo that cannot be written down does not go on.
            raise self._broken("ours", type(error).__name__) from None

    def _passed(self, piece: bytes) -> Iterator[bytes]:
        before = self._filter.secret_found
        try:
            passed = self._filter.feed(piece)
        finally:
            if self._filter.secret_found and not before:
                self._on_echo()
        if passed:
            yield self._counted(passed)

    def _counted(self, piece: bytes) -> bytes:
        metrics.SENT_BYTES.inc(len(piece))
        return piece

    def _broken(self, side: str, reason: str) -> BrokenStreamError:
        metrics.BROKEN_STREAMS.labels(side).inc()
        if side != "caller":
            log.warning("proxy.broken", side=side, reason=reason)
        with contextlib.suppress(OSError):
            self._on_break()
        return BrokenStreamError(reason)
