"""The verbs of a connect link: the company creates and completes it, one browser claims it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from common.actors import Actor
from common.db.clock import DbNow, db_now
from common.db.ids import uuid7
from common.errors import ConflictError, InvalidInputError, NotFoundError
from credentials.connect.audit import build_failure, get_event_target, record_rejection
from credentials.connect.errors import ConnectError
from credentials.connect.link_request import LinkRequest, validate_link_request
from credentials.connect.links_and_callbacks import build_link_url
from credentials.connect.models import ConnectLink, PendingGrant
from credentials.connect.pending_grants import decrypt_grant_body, grant_discard, grant_store
from credentials.connect.settings import get_connect_settings
from credentials.connect.tokens import generate_token, hash_token
from credentials.core.refresh_tokens import TokenInUseError
from credentials.imports.lookup import is_credential_of
from credentials.imports.upsert import DifferentSecretError
from credentials.imports.validation import ImportItem, validate_item
from credentials.models import Credential
from credentials.services.crud import credential_import
from events.services import record_event
from providers.properties import get_identity_values, get_person_value
from vault.sealing import SecretUnavailableError

Status = ConnectLink.Status
ACTIVE_STATUSES: Final = (Status.OPEN, Status.OPENED)


def link_create(
    *, account_id: uuid.UUID, link_request: LinkRequest, actor: Actor
) -> tuple[uuid.UUID, str]:
    """Create a link. Return its id and its URL, which is not stored. Raises InvalidInputError."""
    token = generate_token()
    link = ConnectLink(
        id=uuid7(),
        account_id=account_id,
        token_digest=hash_token(token),
        created_by=actor.name,
        expires_at=db_now() + dt.timedelta(seconds=link_request.expires_in),
        **validate_link_request(account_id, link_request),
    )
    with transaction.atomic():
        link.save(force_insert=True)
        record_event(actor, get_event_target(link), "connect_link.created")
    return link.id, build_link_url(token)


def link_claim(*, token: str, browser_id: str, actor: Actor) -> ConnectLink:
    """Return the link of a URL, in whatever status. The first browser to claim it owns it.

    Call it only for what a person does on the page (POST): scanners, previews and prefetches send
    GET. Raises ConnectError (link_unknown, link_taken).
    """
    link = get_link_by_token(token=token)
    if link.status == Status.OPEN:
        with transaction.atomic():
            is_claimed = ConnectLink.objects.filter(
                id=link.id, status=Status.OPEN, expires_at__gt=DbNow()
            ).update(
                status=Status.OPENED, browser_digest=hash_token(browser_id), updated_at=DbNow()
            )
            if is_claimed:
                record_event(actor, get_event_target(link), "connect_link.opened")
    return get_link_for_browser(token=token, browser_id=browser_id, actor=actor)


def get_link_for_browser(*, token: str, browser_id: str | None, actor: Actor) -> ConnectLink:
    """Return the link of a URL without claiming it, unless another browser owns it.

    Raises ConnectError (link_unknown, link_taken).
    """
    link = get_link_by_token(token=token)
    digest = hash_token(browser_id) if browser_id else None
    if link.browser_digest is not None and bytes(link.browser_digest) != digest:
        record_rejection(actor, link, "link_taken")
        raise ConnectError("link_taken")
    return link


def get_link_by_token(*, token: str) -> ConnectLink:
    """Return the link of a URL, also if another browser owns it. Raises ConnectError (link_unknown)."""
    rows = ConnectLink.objects.select_related("account", "oauth_app")
    link = rows.filter(token_digest=hash_token(token)).first()
    if link is None:
        raise ConnectError("link_unknown")
    return link


def check_link_is_active(link: ConnectLink) -> None:
    """Raise ConnectError if the link can no longer connect an account."""
    if link.status in {Status.PENDING, Status.COMPLETED}:
        raise ConnectError("link_used")
    if link.status == Status.CANCELLED:
        raise ConnectError("link_cancelled")
    if link.status == Status.EXPIRED or link.expires_at <= db_now():
        raise ConnectError("link_expired")


def link_submit(*, link: ConnectLink, properties: Mapping[str, Any], actor: Actor) -> None:
    """Store what was entered in a link's form, as a pending grant.

    Raises InvalidInputError for wrong fields, ConnectError if the link is not active or belongs to
    another upstream account.
    """
    check_link_is_active(link)
    body: dict[str, Any] = {"properties": {"kind": link.kind, **link.properties, **properties}}
    if link.external_id:
        body["external_id"] = link.external_id
    item = validate_item(body, account_id=link.account_id)
    if item.missing_secrets:
        raise InvalidInputError.for_fields(
            {f"properties.{name}": ["is required"] for name in item.missing_secrets}
        )
    check_same_account(link, item)
    with transaction.atomic():
        link_store_grant(link=link, body=body, notes=[], actor=actor)


def check_same_account(link: ConnectLink, item: ImportItem) -> None:
    """Raise ConnectError if the link reconnects a credential of another upstream account."""
    if link.reconnects is None:
        return
    if not is_credential_of(item, account_id=link.account_id, id=link.reconnects):
        raise ConnectError("account_mismatch")
    rows = Credential.objects.filter(account_id=link.account_id, id=link.reconnects)
    properties = rows.values_list("properties", flat=True).first() or {}
    # With an `external_id`, the identity says nothing about the upstream account, so the
    # properties are compared too: the company's id for a customer does not verify the account.
    before = get_identity_values(item.kind, properties)
    after = get_identity_values(item.kind, item.properties)
    if before is not None and after is not None and before != after:
        raise ConnectError("account_mismatch")
    persons = {get_person_value(item.kind, each) for each in (properties, item.properties)}
    if len(persons - {None}) > 1:
        raise ConnectError("account_mismatch")


def link_store_grant(
    *, link: ConnectLink, body: dict[str, Any], notes: list[str], actor: Actor
) -> None:
    """Store the grant of a link as pending, in the caller's transaction.

    A link that completes itself is also completed. Raises ConnectError if the link is over.
    """
    for name in ("name", "owner_email", "metadata"):
        if (value := getattr(link, name)) not in ("", None):
            body[name] = value
    is_stored = ConnectLink.objects.filter(
        id=link.id, status=Status.OPENED, expires_at__gt=DbNow()
    ).update(status=Status.PENDING, notes=notes, failure=None, updated_at=DbNow())
    if not is_stored:
        raise ConnectError("link_used")
    grant_store(owner=link, kind=link.kind, body=body)
    record_event(actor, get_event_target(link), "connect_link.pending")
    if get_connect_settings(link.account_id, link.oauth_app).completes_itself:
        try:
            link_complete(account_id=link.account_id, id=link.id, actor=actor)
        except (DifferentSecretError, TokenInUseError) as error:
            # Only the company may replace another secret, or knows the credential that has this
            # token, so the link stays pending. The user must not learn that it exists.
            is_token = isinstance(error, TokenInUseError)
            code = "refresh_token_in_use" if is_token else "other_secrets"
            failure = build_failure(code, error.detail)
            ConnectLink.objects.filter(id=link.id).update(failure=failure, updated_at=DbNow())
            record_event(actor, get_event_target(link), "connect.refused", [code])


def has_grant_of_same_account(link: ConnectLink, body: Mapping[str, Any]) -> bool:
    """Return whether the link has a pending grant of the same upstream account as `body`."""
    grant = PendingGrant.objects.filter(link=link).first()
    if grant is None:
        return False
    try:
        pending_body = decrypt_grant_body(grant)
    except SecretUnavailableError:
        return False
    pending, new = (
        validate_item(dict(each), account_id=link.account_id) for each in (pending_body, body)
    )
    return pending.identity == new.identity


def link_cancel(*, link: ConnectLink, actor: Actor) -> None:
    """Cancel the link on behalf of the user who claimed it."""
    with transaction.atomic():
        is_cancelled = ConnectLink.objects.filter(id=link.id, status=Status.OPENED).update(
            status=Status.CANCELLED,
            failure=build_failure("access_denied", "The user pressed Cancel."),
            updated_at=DbNow(),
        )
        if is_cancelled:
            record_event(actor, get_event_target(link), "connect_link.cancelled")


def link_withdraw(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    """Cancel the link on behalf of the company, and revoke its pending grant.

    Raises NotFoundError, or ConflictError if the link is completed.
    """
    with transaction.atomic():
        link = _lock_link(account_id, id)
        if link.status == Status.COMPLETED:
            raise ConflictError(
                "The link is completed; delete the credential instead.",
                extra={"credential_id": str(link.credential_id)},
            )
        if link.status not in {*ACTIVE_STATUSES, Status.PENDING}:
            return
        grant = PendingGrant.objects.filter(link=link).first()
        ConnectLink.objects.filter(id=link.id).update(status=Status.CANCELLED, updated_at=DbNow())
        if grant is not None:
            grant_discard(row=grant, code="link_cancelled", actor=actor)
        record_event(actor, get_event_target(link), "connect_link.cancelled")


def link_complete(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    """Import the pending grant of a link as a credential. Completing again changes nothing.

    Raises NotFoundError, or ConflictError if nothing is pending. Raises DifferentSecretError (409)
    if the user entered an account that already has a credential with another secret; the grant
    stays pending.
    """
    with transaction.atomic():
        link = _lock_link(account_id, id)
        if link.status == Status.COMPLETED:
            return
        grant = (
            PendingGrant.objects.select_for_update()
            .filter(link=link, status=PendingGrant.Status.WAITING, expires_at__gt=DbNow())
            .first()
        )
        if link.status != Status.PENDING or grant is None:
            status = Status.EXPIRED if link.status == Status.PENDING else link.status
            raise ConflictError(
                f"There is nothing to complete: the link is {status}.",
                extra={"link_status": status},
            )
        body = decrypt_grant_body(grant)
        _check_reconnected_credential(link, body)
        # The provider or the company said which upstream account it is, not only the user in front
        # of the form. The company does so with a credential to reconnect or its own customer id.
        is_verified = bool(link.oauth_app_id or link.reconnects or link.external_id)
        outcome = credential_import(
            account_id=account_id, actor=actor, body=body, account_verified=is_verified
        )
        grant.delete()
        ConnectLink.objects.filter(id=link.id).update(
            status=Status.COMPLETED, credential_id=outcome.id, failure=None, updated_at=DbNow()
        )
        record_event(actor, get_event_target(link), "connect_link.completed")


def link_expire(*, id: uuid.UUID, actor: Actor) -> bool:
    """Expire an active link whose time is over; return whether there was one."""
    with transaction.atomic():
        is_expired = ConnectLink.objects.filter(
            id=id, status__in=ACTIVE_STATUSES, expires_at__lte=DbNow()
        ).update(status=Status.EXPIRED, updated_at=DbNow())
        if is_expired:
            record_event(
                actor, get_event_target(ConnectLink.objects.get(id=id)), "connect_link.expired"
            )
    return bool(is_expired)


def _check_reconnected_credential(link: ConnectLink, body: dict[str, Any]) -> None:
    """Lock the credential that the link reconnects. Raises ConflictError if it was deleted."""
    if link.reconnects is None:
        return
    # Without this check, the import would create a new credential.
    rows = Credential.objects.select_for_update(of=("self",), no_key=True)
    row = rows.filter(account_id=link.account_id, id=link.reconnects).first()
    item = validate_item(body, account_id=link.account_id)
    if row is None or not is_credential_of(item, account_id=link.account_id, id=row.id):
        raise ConflictError("The credential that this link reconnects no longer exists.")


def _lock_link(account_id: uuid.UUID, id: uuid.UUID) -> ConnectLink:
    rows = ConnectLink.objects.select_for_update(of=("self",)).select_related("oauth_app")
    link = rows.filter(account_id=account_id, id=id).first()
    if link is None:
        raise NotFoundError()
    return link
