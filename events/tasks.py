"""What this room gives the worker to do."""

from __future__ import annotations

from typing import Final

from common.periodic_tasks import Periodic
from events.hash_chain import seal_due

SEALS: Final = Periodic("seals", every=5, work=seal_due)
