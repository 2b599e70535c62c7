from __future__ import annotations

import pytest

from accounts.models import Account
from tests.api import Api
from tests.factories import make_account, make_token


@pytest.fixture
def account(db: None) -> Account:
    return make_account("Acme")


@pytest.fixture
def other_account(db: None) -> Account:
    return make_account("Other")


@pytest.fixture
def api(account: Account) -> Api:
    """A caller with every scope in `account`."""
    return Api(make_token(account))


@pytest.fixture
def stranger(other_account: Account) -> Api:
    """A caller with every scope in another account."""
    return Api(make_token(other_account))
