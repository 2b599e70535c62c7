"""Failures that were stored before their code was renamed."""

from __future__ import annotations

import pytest

from credentials.connect.models import ConnectLink
from tests.admin.pages import address
from tests.factories import make_link

RENAMED_CODES = [
    ("account_unproved", "account_unverified"),
    ("app_wrong", "app_rejected"),
    ("link_over", "link_used"),
]


@pytest.mark.parametrize(("former", "code"), RENAMED_CODES)
def test_api_and_admin_show_current_code(api, admin_client, account, former, code):
    link = make_link(account)
    failure = {"code": former, "detail": "It failed.", "time": "2026-11-01T00:00:00Z"}
    ConnectLink.objects.filter(id=link.id).update(failure=failure)
    assert api.get(f"/v1/connect-links/{link.id}").json()["failure"] == {**failure, "code": code}
    page = admin_client.get(address(ConnectLink, "change", link.id)).content.decode()
    assert f"It failed. ({code})" in page
