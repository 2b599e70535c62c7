from __future__ import annotations

from rest_framework import mixins, viewsets

from common.api.views import AccountView
from common.scopes import EVENTS_READ
from events.filters import EventFilter
from events.models import Event
from events.serializers import EventSerializer


class EventViewSet(AccountView[Event], mixins.ListModelMixin, viewsets.GenericViewSet[Event]):
    """The events of the account, newest first."""

    scopes = {"GET": EVENTS_READ}
    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filterset_class = EventFilter
