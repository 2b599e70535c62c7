"""What this room gives the worker to do."""

from __future__ import annotations

from functools import partial
from typing import Final

from accounts.idempotency import purge_due
from common.periodic_tasks import Periodic

OLD_ANSWERS: Final = Periodic("old answers", every=600, work=partial(purge_due, 1000))
