"""Dates as files have them: ISO 8601, PostgreSQL's, seconds since 1970, Excel's, and with slashes."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final, Literal

from common.datetimes import format_rfc3339, parse_rfc3339

DateOrder = Literal["dmy", "mdy"]
"""The order of 01/02/2027: day, month, year or month, day, year."""

DATE_ORDERS: Final[tuple[DateOrder, ...]] = ("dmy", "mdy")

_TIME: Final = (
    r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r" ?(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_OFFSET: Final = r"(?: ?(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?)?"
_ISO: Final = re.compile(
    rf"(?P<year>\d{{4}})[-/](?P<month>\d\d?)[-/](?P<day>\d\d?)(?:[Tt ]{_TIME}{_OFFSET})?", re.ASCII
)
_BASIC_ISO: Final = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)[Tt](?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
    r"(?P<fraction>(?!))?(?P<half>(?!))?" + _OFFSET,
    re.ASCII,
)
_NUMERIC: Final = re.compile(
    rf"(?P<first>\d\d?)([/.-])(?P<other>\d\d?)\2(?P<year>\d{{4}}|\d\d)(?:[ T,]+{_TIME}{_OFFSET})?",
    re.ASCII,
)
_NAMED: Final = re.compile(
    rf"(?P<day>\d\d?)[- ](?P<name>[A-Za-z]{{3}})[- ](?P<year>\d{{4}}|\d\d)(?: {_TIME}{_OFFSET})?",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"(\d{5,14})(?:\.(\d{1,9}))?", re.ASCII)
_MONTHS: Final = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
_EXCEL_EPOCH: Final = dt.datetime(1899, 12, 30, tzinfo=dt.UTC)

NO_OFFSET: Final = "has no offset; read as UTC"
DAY_NUMBER: Final = "is a day number of Excel; read as a date in UTC"


def read_date(value: str | int | float, order: DateOrder | None) -> tuple[str, str | None]:
    """Return the time as RFC 3339, and a notice if its offset had to be assumed.

    Raises ValueError with the reason for a form that has several meanings. A value in an unknown form
    is returned as it is, so that its field rejects it.
    """
    text = str(value).strip()
    if parse_rfc3339(text):
        return text.upper().replace(" ", "T"), None
    if match := _NUMBER.fullmatch(text):
        return _read_number(match)
    if match := _ISO.fullmatch(text) or _BASIC_ISO.fullmatch(text):
        day = (match["year"], match["month"], match["day"])
    elif match := _NAMED.fullmatch(text):
        name = match["name"].lower()
        if name not in _MONTHS:
            return text, None
        day = (match["year"], str(_MONTHS.index(name) + 1), match["day"])
    elif match := _NUMERIC.fullmatch(text):
        if order is None:
            raise ValueError(
                "has several meanings; choose dmy (day first) or mdy (month first) for the dates"
            )
        first, other = match["first"], match["other"]
        day = (match["year"], *((other, first) if order == "dmy" else (first, other)))
    else:
        return text, None
    return _build(match, day)


def _read_number(match: re.Match[str]) -> tuple[str, str | None]:
    whole, fraction = match[1], float(f"0.{match[2] or 0}")
    if len(whole) == 5:
        time = _EXCEL_EPOCH + dt.timedelta(days=int(whole) + fraction)
        # A day has 86,400 seconds, which a fraction of a day does not state exactly.
        time = (time + dt.timedelta(microseconds=500_000)).replace(microsecond=0)
        return format_rfc3339(time) or "", DAY_NUMBER
    if len(whole) == 8:
        return _build_date(whole)
    if len(whole) < 9:
        return match[0], None
    seconds = int(whole) / 1000 if len(whole) >= 12 else int(whole) + fraction
    return format_rfc3339(dt.datetime.fromtimestamp(seconds, dt.UTC)) or "", None


def _build_date(digits: str) -> tuple[str, str | None]:
    """Return a date of ISO 8601 in its basic form, such as 20270101."""
    try:
        time = dt.datetime.strptime(digits, "%Y%m%d").replace(tzinfo=dt.UTC)
    except ValueError:
        return digits, None
    return format_rfc3339(time) or "", NO_OFFSET


def _build(match: re.Match[str], day: tuple[str, str, str]) -> tuple[str, str | None]:
    parts = match.groupdict()
    hour = int(parts["hour"] or 0)
    if half := (parts["half"] or "").lower():
        if not 1 <= hour <= 12:
            raise ValueError("must be a date and time that the calendar has")
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    offset = dt.timedelta(hours=int(parts["hours"] or 0), minutes=int(parts["minutes"] or 0))
    year = int(day[0]) + (2000 if len(day[0]) == 2 else 0)
    try:
        time = dt.datetime(
            year, int(day[1]), int(day[2]), hour, int(parts["minute"] or 0),
            int(parts["second"] or 0), int((parts["fraction"] or "0").ljust(6, "0")[:6]),
            tzinfo=dt.timezone(-offset if parts["sign"] == "-" else offset),
        )  # fmt: skip
        text = format_rfc3339(time) or ""
    except (ValueError, OverflowError):
        raise ValueError("must be a date and time that the calendar has") from None
    has_offset = parts["utc"] or parts["sign"]
    return text, None if has_offset else NO_OFFSET
