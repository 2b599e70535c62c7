"""Logging: one line per event, JSON in production, with the request id and without secrets."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

# The last line of defence: call sites log ids and names, never values.
_TOKENS: Final = re.compile(
    r"lk_(?:sess_)?[0-9A-Za-z]{8,}|sk_(?:live|test)_\w+|gh[pousr]_\w+|xox[a-z]-[\w-]+|AKIA\w{16}"
    r"|(?<=/connect/)[\w-]{43}|(?<=/link/oauth2/start/)[\w-]{43}"
    # Without the dots of a JWT: a search for them would start again at each eyJ of a long word.
    r"|eyJ[\w-]{5,}[\w.-]*|-----BEGIN [\s\S]*?(?:-----END [A-Z ]*-----|\Z)"
)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace what looks like a key or token in every string of a log line."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _TOKENS.sub("[redacted]", value)
    return event


def shorten_security_record(record: logging.LogRecord) -> bool:
    """Reduce a record of a request that Django rejected to the reason's name. Return True.

    Its message repeats what an anonymous client sent, and its traceback has several kilobytes.
    """
    if record.name.startswith("django.security."):
        record.msg, record.args = "request rejected: %s", (record.name.rpartition(".")[2],)
        record.exc_info = record.exc_text = record.stack_info = None
    return True


def configure_logging(*, json: bool) -> None:
    """Send the records of structlog and of the standard library through one chain to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler()
    handler.addFilter(shorten_security_record)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Otherwise Python prints them as plain text between the lines.
    logging.captureWarnings(True)
    # It would log the path of each 4xx, into which a caller may have put a secret. The access log has the route.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    # It would log each failed login, with the user name as it was typed.
    logging.getLogger("axes").setLevel(logging.ERROR)
