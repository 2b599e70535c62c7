from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.models import Account
from tests.factories import TESTER
from tests.webhooks.receivers import Receiver
from webhooks.event_types import EVENT_TYPES
from webhooks.models import WebhookEndpoint
from webhooks.services import endpoint_create

MakeReceiver = Callable[[], Receiver]
Shift = Callable[[int], None]


@pytest.fixture
def make_receiver(settings: Any) -> Iterator[MakeReceiver]:
    """Start receivers in EGRESS_ALLOW; they end with the test."""
    with contextlib.ExitStack() as stack:
        allowed: list[str] = []

        def make() -> Receiver:
            receiver = stack.enter_context(Receiver())
            allowed.append(receiver.allowed)
            settings.EGRESS_ALLOW = ",".join(allowed)
            return receiver

        yield make


@pytest.fixture
def receiver(make_receiver: MakeReceiver) -> Receiver:
    return make_receiver()


@pytest.fixture
def endpoint(account: Account, receiver: Receiver) -> WebhookEndpoint:
    return make_endpoint(account, receiver)


@pytest.fixture
def shift(settings: Any) -> Shift:
    """Set how many seconds the database's clock is ahead."""

    def set_to(seconds: int) -> None:
        settings.CLOCK_SHIFT_SECONDS = seconds

    return set_to


def make_endpoint(account: Account, receiver: Receiver, **more: Any) -> WebhookEndpoint:
    return make_endpoint_and_secret(account, receiver, **more)[0]


def make_endpoint_and_secret(
    account: Account, receiver: Receiver, **more: Any
) -> tuple[WebhookEndpoint, str]:
    given: dict[str, Any] = {"url": receiver.url, "events": list(EVENT_TYPES), **more}
    id, secret = endpoint_create(account_id=account.id, actor=TESTER, **given)
    return WebhookEndpoint.objects.get(id=id), secret
