"""The writers of custom providers.

This package is a leaf and cannot record events; the callers (`credentials.services`) do.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import IntegrityError, transaction

from common.db.clock import DbNow
from common.errors import ConflictError, NotFoundError
from providers.custom_validation import AllowedTargets, validate_custom_provider
from providers.models import CustomProvider


def custom_provider_create(
    *,
    account_id: uuid.UUID,
    name: str,
    base_url: str,
    auth_header: str = "Authorization",
    prefix: str = "Bearer ",
    blocked_endpoints: Sequence[str] = (),
    rate_limit: int = 100,
    allowed_targets: AllowedTargets = frozenset(),
) -> CustomProvider:
    """Register `custom.<name>` in the account.

    `allowed_targets` are as in `validate_custom_provider`. Raises InvalidInputError, or
    ConflictError if the account has a custom provider of that name.
    """
    fields = {
        "name": name,
        "base_url": base_url,
        "auth_header": auth_header,
        "prefix": prefix,
        "blocked_endpoints": blocked_endpoints,
        "rate_limit": rate_limit,
    }
    values = validate_custom_provider(fields, allowed_targets=allowed_targets)
    try:
        # A transaction of its own: a failed insert would end the caller's on PostgreSQL.
        with transaction.atomic():
            return CustomProvider.objects.create(account_id=account_id, **values)
    except IntegrityError:
        raise ConflictError(f"This account has a custom.{name} already.") from None


def custom_provider_update(
    *,
    account_id: uuid.UUID,
    name: str,
    allowed_targets: AllowedTargets = frozenset(),
    **changes: Any,
) -> CustomProvider:
    """Change any of base_url, auth_header, prefix, blocked_endpoints and rate_limit.

    `allowed_targets` are as in `validate_custom_provider`. Raises InvalidInputError or
    NotFoundError.
    """
    values = validate_custom_provider(changes, allowed_targets=allowed_targets)
    rows = CustomProvider.objects.filter(account_id=account_id, name=name)
    if not rows.update(**values, updated_at=DbNow()):
        raise NotFoundError
    return rows.get()


def find_custom_provider_slugs(*, account_id: uuid.UUID, slugs: Iterable[str]) -> frozenset[str]:
    """Return those of `slugs` (`custom.<name>`) that are registered in the account."""
    names = [slug.removeprefix("custom.") for slug in slugs]
    rows = CustomProvider.objects.filter(account_id=account_id, name__in=names)
    return frozenset(row.slug for row in rows)
