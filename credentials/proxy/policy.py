"""A credential's policy: which requests the proxy allows with it, and how many."""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

from django.db import transaction

from common.actors import Actor
from common.db.clock import DbNow
from common.errors import ForbiddenError, NotFoundError, PreconditionFailedError
from credentials.models import Credential
from credentials.proxy.models import CredentialPolicy
from credentials.proxy.path_rules import is_path_allowed
from credentials.proxy.queries import Policy
from events.services import EventTarget, record_event

MAX_PATHS: Final = 100
MAX_RATE: Final = 1_000_000
MAX_SECONDS: Final = 86_400
MAX_CONCURRENCY: Final = 1_000

METHOD_PATTERN: Final = re.compile(r"^[A-Z]{1,16}\Z", re.ASCII)
PATH_PATTERN: Final = re.compile(r"^/[!$-;=?-\[\]-~]{0,255}\Z", re.ASCII)

NO_POLICY: Final[dict[str, Any]] = {
    "methods": None,
    "paths": None,
    "rate_limit": None,
    "concurrency": None,
}
"""The document of a credential that has no policy."""


def serialize_policy(policy: CredentialPolicy | None) -> dict[str, Any]:
    """Return the policy as the API has it."""
    if policy is None:
        return dict(NO_POLICY)
    rate = None
    if policy.rate_requests:
        rate = {"requests": policy.rate_requests, "seconds": policy.rate_seconds}
    return {
        "methods": policy.methods,
        "paths": policy.paths,
        "rate_limit": rate,
        "concurrency": policy.concurrency,
    }


def policy_read(*, account_id: uuid.UUID, id: uuid.UUID) -> dict[str, Any]:
    """Return methods, paths, rate_limit {requests, seconds} and concurrency; null: no restriction.

    Raises NotFoundError.
    """
    rows = Credential.objects.filter(account_id=account_id, id=id)
    row = rows.select_related("proxy_policy").only("id", "proxy_policy").first()
    if row is None:
        raise NotFoundError()
    return serialize_policy(getattr(row, "proxy_policy", None))


def policy_set(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    policy: dict[str, Any],
    expected: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Replace the policy, and record the event if it differs. Keys that `policy` lacks become null.

    `policy` was validated (PolicySerializer). Raises NotFoundError, or PreconditionFailedError if
    the stored policy is not the `expected` one.
    """
    new = {**NO_POLICY, **policy}
    with transaction.atomic():
        rows = Credential.objects.select_for_update(no_key=True)
        if not rows.filter(account_id=account_id, id=id).exists():
            raise NotFoundError()
        stored = serialize_policy(CredentialPolicy.objects.filter(credential_id=id).first())
        if expected is not None and expected != stored:
            raise PreconditionFailedError(
                "The policy has changed since you opened it. Open it again."
            )
        changed = sorted(name for name in NO_POLICY if stored[name] != new[name])
        if changed:
            rate = new["rate_limit"] or {}
            CredentialPolicy.objects.update_or_create(
                credential_id=id,
                defaults={
                    "methods": new["methods"],
                    "paths": new["paths"],
                    "rate_requests": rate.get("requests"),
                    "rate_seconds": rate.get("seconds"),
                    "concurrency": new["concurrency"],
                    "updated_at": DbNow(),
                },
            )
            target = EventTarget("credential", account_id, id)
            record_event(actor, target, "credential.policy_updated", changed)
    return new


def check_policy(policy: Policy | None, method: str, path: str) -> None:
    """Raise ForbiddenError for a request that the policy does not allow."""
    if policy is None:
        return
    if policy.methods is not None and method not in policy.methods:
        raise ForbiddenError("The credential's policy does not allow this method.", extra=_CODE)
    if policy.paths is not None and not is_path_allowed(path, policy.paths):
        raise ForbiddenError("The credential's policy does not allow this path.", extra=_CODE)


_CODE: Final = {"code": "not_allowed"}
