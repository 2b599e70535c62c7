"""Evidence about a credential or an OAuth app, and its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["refresh", "probe", "report", "use", "expiry", "seal", "import", "restore"]
Verdict = Literal["ok", "rejected", "suspect", "unavailable", "app", "unclear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation. `note` is a plain sentence for people, `code` a short name for programs.

    Verdicts: ok, it worked · rejected, the provider definitely rejects it · suspect, it may be
    rejected · unavailable, no response came · app, the error is of its OAuth app · unclear, the
    response says nothing about it. No text of a provider is ever in `note`.
    """

    source: Source
    verdict: Verdict
    note: str
    code: str
