"""The metadata filter means the same on both databases: what a plain oracle says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credentials.models import Credential
from tests.factories import make_account, make_credential, make_stripe_body

keys = st.sampled_from(["a", "b", "ключ", 'q"', "a.b", "$", "%s"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 2.0, 1e20, -0.0]),
    st.sampled_from(["", "1", "a", "é", "\\", "'", "null"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(keys, values, max_size=3)


def oracle(whole: Any, part: Any) -> bool:
    """PostgreSQL's documentation of jsonb containment (§8.14.3), put plainly."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and oracle(whole[name], part[name]) for name in part)
    if isinstance(part, list) and isinstance(whole, list):
        return all(any(oracle(item, wanted) for item in whole) for wanted in part)
    if isinstance(part, dict | list) or isinstance(whole, dict | list):
        return False
    return (type(part) is bool) == (type(whole) is bool) and part == whole


def parts_of(whole: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that are contained, or nearly."""
    chosen = st.lists(st.sampled_from(sorted(whole)), unique=True) if whole else st.just([])
    return st.builds(lambda some, more: {**{k: whole[k] for k in some}, **more}, chosen, objects)


@pytest.mark.django_db
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), whole=objects)
def test_filter_matches_the_oracle(data, whole):
    part = data.draw(st.one_of(objects, parts_of(whole)))
    row = Credential.objects.first() or make_credential(make_account(), make_stripe_body())
    Credential.objects.filter(id=row.id).update(metadata=whole)
    found = Credential.objects.filter(id=row.id, metadata__jsoncontains=part).exists()
    assert found == oracle(whole, part)
