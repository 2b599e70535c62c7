"""Connect links: made by the company, owned by the first browser that opens them, completed by the company."""

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
from credentials.connect import settings
from credentials.connect.audit import build_failure
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest, resolve_oauth_kind
from credentials.connect.link_request import LinkRequest, validate_link_request
from credentials.connect.links_and_callbacks import build_link_url
from credentials.connect.models import ConnectLink, PendingGrant
from credentials.connect.pending_grants import decrypt_grant_body, grant_discard, grant_store
from credentials.connect.tokens import generate_token, hash_token
from credentials.imports.upsert import DifferentSecretError
from credentials.imports.validation import ImportItem, validate_item
from credentials.models import Credential
from credentials.services.crud import credential_import
from events.services import EventTarget, record_event
from providers.properties import get_identity_values
from vault.sealing import SecretUnavailableError

Status = ConnectLink.Status
ACTIVE_STATUSES: Final = (Status.OPEN, Status.OPENED)


def link_create(
    *, account_id: uuid.UUID, link_request: LinkRequest, actor: Actor
) -> tuple[uuid.UUID, str]:
    """A link and its address, which is not kept: its id, and the address. Raises Invalid."""
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
        record_event(actor, _get_target(link), "connect_link.created")
    return link.id, build_link_url(token)


def link_open(*, token: str, browser_id: str, actor: Actor) -> ConnectLink:
    """The link behind an address, for the browser that opens it: the first owns it.

    Raises Refusal (link_unknown, link_taken). One that is over is returned as it is.
    """
    link = get_link_by_token(token=token)
    if link.status == Status.OPEN:
        with transaction.atomic():
            unowned = ConnectLink.objects.filter(
                id=link.id, status=Status.OPEN, expires_at__gt=DbNow()
            )
            owned = unowned.update(
                status=Status.OPENED, browser_digest=hash_token(browser_id), updated_at=DbNow()
            )
            if owned:
                record_event(actor, _get_target(link), "connect_link.opened")
        link = get_link_by_token(token=token)
    if link.browser_digest is not None and bytes(link.browser_digest) != hash_token(browser_id):
        record_event(actor, _get_target(link), "connect.refused", ["link_taken"])
        raise ConnectError("link_taken")
    return link


def get_link_by_token(*, token: str) -> ConnectLink:
    """The link behind an address; nothing changes. Raises Refusal (link_unknown)."""
    rows = ConnectLink.objects.select_related("account", "oauth_app")
    link = rows.filter(token_digest=hash_token(token)).first()
    if link is None:
        raise ConnectError("link_unknown")
    return link


def check_link_is_active(link: ConnectLink) -> None:
    """Raise Refusal where nothing can be connected by this link any more."""
    if link.status in {Status.PENDING, Status.COMPLETED}:
        raise ConnectError("link_used")
    if link.status == Status.CANCELLED:
        raise ConnectError("link_cancelled")
    if link.status == Status.EXPIRED or link.expires_at <= db_now():
        raise ConnectError("link_expired")


def draft_of_link(link: ConnectLink) -> FlowRequest:
    """What Continue asks the provider for. Raises Invalid where the kind is no longer known."""
    if link.oauth_app is None:
        raise ConnectError("bad_request")
    return FlowRequest(
        app=link.oauth_app,
        kind=resolve_oauth_kind(link.oauth_app, link.kind),
        scopes=link.scopes,
        return_to=link.return_to,
        external_id=link.external_id,
        properties=link.properties,
    )


def link_submit(*, link: ConnectLink, properties: Mapping[str, Any], actor: Actor) -> None:
    """Hold what was typed into a link's form. Raises Invalid for wrong fields, Refusal else."""
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
    """Raise Refusal where a link reconnects a credential, and this is another upstream account.

    The properties that say whose account it is are compared even where `external_id` names the
    row: the company's word for a customer does not make another customer's account theirs.
    """
    if link.reconnects is None:
        return
    rows = Credential.objects.filter(account_id=link.account_id, id=link.reconnects)
    row = rows.values_list("identity", "properties").first()
    if row is None or bytes(row[0]) != item.identity:
        raise ConnectError("account_mismatch")
    before, now = (get_identity_values(item.kind, shown) for shown in (row[1], item.properties))
    if before is not None and now is not None and before != now:
        raise ConnectError("account_mismatch")


def link_store_grant(
    *, link: ConnectLink, body: dict[str, Any], notes: list[str], actor: Actor
) -> None:
    """Within the caller's transaction: the grant of a link, pending, or stored where that was chosen.

    Raises Refusal where the link is over meanwhile: then nothing is held.
    """
    for name in ("name", "owner_email", "metadata"):
        if (value := getattr(link, name)) not in ("", None):
            body[name] = value
    held = ConnectLink.objects.filter(
        id=link.id, status=Status.OPENED, expires_at__gt=DbNow()
    ).update(status=Status.PENDING, notes=notes, failure=None, updated_at=DbNow())
    if not held:
        raise ConnectError("link_used")
    grant_store(attempt=None, link=link, kind=link.kind, body=body)
    record_event(actor, _get_target(link), "connect_link.pending")
    if settings.get_connect_settings(link.account_id, link.oauth_app).completes_itself:
        _complete_itself(link, actor)


def _complete_itself(link: ConnectLink, actor: Actor) -> None:
    """What it may not decide by itself stays pending, and the person learns nothing of it."""
    try:
        link_complete(account_id=link.account_id, id=link.id, actor=actor)
    except DifferentSecretError as problem:
        why = build_failure("other_secrets", problem.detail)
        ConnectLink.objects.filter(id=link.id).update(failure=why, updated_at=DbNow())
        record_event(actor, _get_target(link), "connect.refused", ["other_secrets"])


def has_grant_of_same_account(link: ConnectLink, body: Mapping[str, Any]) -> bool:
    """Whether the link's own pending grant is of the upstream account that `body` is of."""
    grant = PendingGrant.objects.filter(link=link).first()
    try:
        held = decrypt_grant_body(grant) if grant else None
    except SecretUnavailableError:
        held = None
    if held is None:
        return False
    one, other = (validate_item(dict(each), account_id=link.account_id) for each in (held, body))
    return one.identity == other.identity


def link_cancel(*, link: ConnectLink, actor: Actor) -> None:
    """The person pressed Cancel."""
    with transaction.atomic():
        cancelled = ConnectLink.objects.filter(id=link.id, status=Status.OPENED).update(
            status=Status.CANCELLED,
            failure=build_failure("access_denied", "The user pressed Cancel."),
            updated_at=DbNow(),
        )
        if cancelled:
            record_event(actor, _get_target(link), "connect_link.cancelled")


def link_withdraw(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    """The company takes the link back; what it brought and is pending is given back, too.

    Raises NotFound, or Conflict for one that is completed: then there is a credential to delete.
    """
    with transaction.atomic():
        link = _locked(account_id, id)
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
        record_event(actor, _get_target(link), "connect_link.cancelled")


def link_complete(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    """Store the credential that a link brought. Doing it again changes nothing.

    Raises NotFound, Conflict where there is nothing pending, or no more, and OtherSecrets (409)
    where somebody typed whose account it is, and there is a credential of it with another secret:
    the grant stays pending.
    """
    with transaction.atomic():
        link = _locked(account_id, id)
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
        _check_still_there(link, body)
        outcome = credential_import(
            account_id=account_id, actor=actor, body=body, account_verified=_is_proved(link)
        )
        grant.delete()
        ConnectLink.objects.filter(id=link.id).update(
            status=Status.COMPLETED, credential_id=outcome.id, failure=None, updated_at=DbNow()
        )
        record_event(actor, _get_target(link), "connect_link.completed")


def link_expire(*, id: uuid.UUID, actor: Actor) -> bool:
    """End a link whose time is over; whether it was live."""
    with transaction.atomic():
        lapsed = ConnectLink.objects.filter(
            id=id, status__in=ACTIVE_STATUSES, expires_at__lte=DbNow()
        ).update(status=Status.EXPIRED, updated_at=DbNow())
        if lapsed:
            record_event(actor, _get_target(ConnectLink.objects.get(id=id)), "connect_link.expired")
    return bool(lapsed)


def _is_proved(link: ConnectLink) -> bool:
    """Whether anybody but the person in front of the form said which upstream account it is.

    A provider did, or the company: by the credential to reconnect, or by its own id of the customer.
    """
    return bool(link.oauth_app_id or link.reconnects or link.external_id)


def _check_still_there(link: ConnectLink, body: dict[str, Any]) -> None:
    """A reconnect never makes a new credential, where the old one was deleted meanwhile."""
    if link.reconnects is None:
        return
    rows = Credential.objects.select_for_update(of=("self",), no_key=True)
    row = rows.filter(account_id=link.account_id, id=link.reconnects).first()
    item = validate_item(body, account_id=link.account_id)
    if row is None or bytes(row.identity) != item.identity:
        raise ConflictError("The credential that this link reconnects is not there any more.")


def _locked(account_id: uuid.UUID, id: uuid.UUID) -> ConnectLink:
    rows = ConnectLink.objects.select_for_update(of=("self",)).select_related("oauth_app")
    link = rows.filter(account_id=account_id, id=id).first()
    if link is None:
        raise NotFoundError()
    return link


def _get_target(link: ConnectLink) -> EventTarget:
    return EventTarget("connect_link", link.account_id, link.id)
