"""The system check of EGRESS_ALLOW."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from egress.policy import allowed_targets


def check_allow(**_: Any) -> list[CheckMessage]:
    try:
        allowed_targets()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="egress.E001")]
    return []
