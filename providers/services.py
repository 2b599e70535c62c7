"""Custom providers: the only writers of their rows.

This room is a leaf and knows no events: whoever calls these records what was done.
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
    opened: AllowedTargets = frozenset(),
) -> CustomProvider:
    """A new `custom.<name>` of the account. Raises Invalid, or Conflict where the name is taken.

    `opened`: see `custom.checked`.
    """
    fields = validate_custom_provider(
        opened=opened,
        name=name,
        base_url=base_url,
        auth_header=auth_header,
        prefix=prefix,
        blocked_endpoints=blocked_endpoints,
        rate_limit=rate_limit,
    )
    try:
        with transaction.atomic():
            return CustomProvider.objects.create(account_id=account_id, **fields)
    except IntegrityError:
        raise ConflictError(f"There is a custom.{name} in this account already.") from None


def custom_provider_update(*, account_id: uuid.UUID, name: str, **changes: Any) -> CustomProvider:
    """Change any of base_url, auth_header, prefix, blocked_endpoints, rate_limit; never the name.

    `opened` as in `custom_provider_create`. Raises Invalid, or NotFound.
    """
    rows = CustomProvider.objects.filter(account_id=account_id, name=name)
    if not rows.update(**validate_custom_provider(**changes), updated_at=DbNow()):
        raise NotFoundError
    return rows.get()


def find_custom_provider_slugs(*, account_id: uuid.UUID, slugs: Iterable[str]) -> frozenset[str]:
    """Those of `slugs` (`custom.<name>`) that are registered in the account."""
    names = [slug.removeprefix("custom.") for slug in slugs]
    rows = CustomProvider.objects.filter(account_id=account_id, name__in=names)
    return frozenset(row.slug for row in rows)
