"""A filter of white space matches no row or is rejected, but never returns the whole list."""

from __future__ import annotations

import pytest

from tests.api import ApiClient
from tests.project.world import World

TEXT_FILTERS = [
    ("/v1/credentials", "provider"),
    ("/v1/credentials", "kind"),
    ("/v1/credentials", "owner_email"),
    ("/v1/credentials", "external_id"),
    ("/v1/credentials", "q"),
    ("/v1/oauth-apps", "provider"),
    ("/v1/events", "verb"),
    ("/v1/events", "actor"),
]
BLANKS = ["%20", "+", "%09%0D%0A", "%E3%80%80"]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(("path", "name"), TEXT_FILTERS)
def test_a_blank_filter_matches_nothing(db, path, name, blank):
    world = World()
    world.create_rows()
    response = ApiClient(world.token).get(f"{path}?{name}={blank}")
    assert response.status_code == 400 or response.json()["data"] == []
