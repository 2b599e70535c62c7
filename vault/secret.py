"""A string that cannot get into a log, page, traceback or pickle by accident."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn, SupportsIndex

MASK: Final = "**********"


class Secret:
    """A secret string, with a mask as its representation everywhere. Only `expose()` returns it.

    Pickling and hashing raise TypeError, as does every JSON encoder. A copy is the object itself.
    `==` with another Secret takes constant time.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError("The value of a Secret is a str.")
        self._value = value

    def expose(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __format__(self, spec: str) -> str:
        return repr(self)

    # Having __eq__ and no __hash__ makes it unhashable: a hash would leak equality by timing.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_encode(self._value), _encode(other._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("A Secret cannot be pickled.")


def _encode(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
