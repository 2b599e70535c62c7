"""The system check of the provider files; `file_checks` has the rules."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from providers.file_checks import find_errors
from providers.file_checks.findings import UNREADABLE
from providers.registry import list_data_files


def check_providers(**_: Any) -> list[CheckMessage]:
    """Return one message for each error, as `<file>: <field>: <what is wrong>`."""
    try:
        paths = list_data_files()
    except ImproperlyConfigured as error:
        return [Error(str(error), id=UNREADABLE)]
    return [
        Error(": ".join(part for part in (str(path), field, reason) if part), id=code)
        for path, (code, field, reason) in find_errors(paths)
    ]
