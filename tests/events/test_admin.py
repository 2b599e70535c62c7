"""The admin's list of events."""

from __future__ import annotations

import pytest

from events.models import Event
from events.services import EventTarget, record_event
from events.verbs import FORMER_VERBS
from tests.admin.pages import address
from tests.factories import TESTER


@pytest.mark.parametrize(("verb", "former"), FORMER_VERBS.items())
def test_verb_filter_finds_stored_events_with_the_former_word(admin_client, account, verb, former):
    target = EventTarget("account", account.id, account.id)
    for stored in (former, verb):
        record_event(TESTER, target, stored)
    response = admin_client.get(address(Event, "changelist"), {"verb": verb})
    events = response.context["cl"].result_list
    assert [event.verb for event in events] == [verb, former]


def test_verb_filter_offers_each_verb_once_in_todays_words(admin_client, account):
    target = EventTarget("account", account.id, account.id)
    for stored in (*FORMER_VERBS, *FORMER_VERBS.values()):
        record_event(TESTER, target, stored)
    response = admin_client.get(address(Event, "changelist"))
    (verb_filter,) = [
        spec
        for spec in response.context["cl"].filter_specs
        if spec.expected_parameters() == ["verb"]
    ]
    choices = [verb for verb, _ in verb_filter.lookup_choices]
    assert choices == sorted(set(choices))
    assert {*FORMER_VERBS} <= {*choices}
    assert not {*FORMER_VERBS.values()} & {*choices}
