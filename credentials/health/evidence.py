"""What was seen of a credential or an OAuth app, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["refresh", "probe", "report", "use", "expiry", "seal", "import"]
Verdict = Literal["ok", "rejected", "suspect", "unavailable", "app", "unclear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`note` is a plain sentence of ours for people; no word of a provider's is ever in it.

    Verdicts: ok, it worked · rejected, the provider definitely refuses it · suspect, evidence that
    is not definite · unavailable, the provider or the network gave no answer · app, its OAuth app is
    at fault · unclear, an answer that says nothing of it. `code` is a short name for programs.
    """

    source: Source
    verdict: Verdict
    note: str
    code: str
