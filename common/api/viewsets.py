"""The viewset of rows that are changed and removed by service functions."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Protocol, TypeVar

from django.db.models import Model
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import Actor, Principal
from common.api.etags import ETags, read_if_match
from common.api.serializers import StrictSerializer
from common.api.views import AccountView, parse_path_id, read_object
from common.http import get_principal

Row = TypeVar("Row", bound=Model)


class UpdateService(Protocol):
    """A service function that changes one row."""

    def __call__(
        self,
        *,
        account_id: uuid.UUID,
        id: uuid.UUID,
        actor: Actor,
        changes: Any,
        if_match: ETags | None = ...,
    ) -> object: ...


class DeleteService(Protocol):
    """A service function that removes one row."""

    def __call__(
        self, *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, if_match: ETags | None = ...
    ) -> object: ...


class ServiceViewSet(AccountView[Row], viewsets.GenericViewSet[Row]):
    """GET, PATCH and DELETE of one row. PATCH and DELETE honour If-Match.

    A subclass sets both services, wrapped in `staticmethod`, and says how to `respond`.
    """

    update_serializer: ClassVar[type[StrictSerializer]]
    update_service: ClassVar[UpdateService]
    delete_service: ClassVar[DeleteService]

    def respond(self, id: uuid.UUID) -> Response:
        """Return the row's representation with its ETag. Raise NotFoundError if it is gone."""
        raise NotImplementedError

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.respond(parse_path_id(pk))

    def partial_update(self, request: Request, pk: str) -> Response:
        # Before the body is read: another account's id responds like an unknown one.
        id = self.require_id(pk)
        self.update_row(request, id, get_principal(request))
        return self.respond(id)

    def update_row(self, request: Request, id: uuid.UUID, principal: Principal) -> None:
        """Validate the body and change the row."""
        self.update_service(
            account_id=principal.account_id,
            id=id,
            actor=principal.actor,
            changes=self.update_serializer(data=read_object(request)).validate_data(),
            if_match=read_if_match(request),
        )

    def destroy(self, request: Request, pk: str) -> Response:
        principal = get_principal(request)
        self.delete_service(
            account_id=principal.account_id,
            id=parse_path_id(pk),
            actor=principal.actor,
            if_match=read_if_match(request),
        )
        return Response(status=204)
