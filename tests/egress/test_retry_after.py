"""Retry-After in each form of RFC 9110."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.headers import parse_retry_after

NOW = dt.datetime(2026, 11, 18, 12, 26, 40, tzinfo=dt.UTC)
SENT = ("date", "Wed, 18 Nov 2026 12:26:40 GMT")

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def imf(at: dt.datetime) -> str:
    return f"{_DAYS[at.weekday()][:3]}, {at:%d} {_MONTHS[at.month - 1]} {at:%Y %H:%M:%S} GMT"


def rfc850(at: dt.datetime) -> str:
    return f"{_DAYS[at.weekday()]}, {at:%d}-{_MONTHS[at.month - 1]}-{at:%y %H:%M:%S} GMT"


def asctime(at: dt.datetime) -> str:
    return f"{_DAYS[at.weekday()][:3]} {_MONTHS[at.month - 1]} {at.day:>2} {at:%H:%M:%S %Y}"


FORMS = pytest.mark.parametrize("form", [imf, rfc850, asctime], ids=lambda form: form.__name__)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("007", 7),
        (" 7 ", 7),
        ("99999", 3600),
        ("9" * 20, 3600),
        ("9" * 5000, 3600),
        ("Wed, 18 Nov 2026 12:28:40 GMT", 120),
        ("Wednesday, 18-Nov-26 12:28:40 GMT", 120),
        ("Wed Nov 18 12:28:40 2026", 120),
        ("Wed, 18 Nov 2020 12:28:40 GMT", 0),
        ("Friday, 18-Nov-94 12:28:40 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("Wed, 99 Nov 2026 12:28:40 GMT", None),
        ("Wed, 18 Nov 2026 12:28:40 +9999999999", None),
        ("2026-11-18T12:28:40Z", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("5, 7", None),
        ("\u0663", None),
        ("", None),
        ("\x00", None),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_parameters_of_the_authorization_url(value, seconds, time_machine):
    time_machine.move_to(NOW, tick=False)
    assert parse_retry_after((("retry-after", value),), maximum=3600) == seconds


def test_without_it_there_is_none():
    assert parse_retry_after((SENT,), maximum=3600) is None


def test_twice_is_none():
    assert parse_retry_after((("retry-after", "5"), ("retry-after", "7")), maximum=3600) is None


@FORMS
@given(
    late=st.integers(-(10**6), 10**6),
    off=st.integers(-(10**8), 10**8),
)
def test_date_is_relative_to_the_date_of_the_response(
    form: Callable[[dt.datetime], str], late, off
):
    """However far `off` our clock is from theirs."""
    theirs = NOW + dt.timedelta(seconds=off)
    asked = form(theirs + dt.timedelta(seconds=late))
    found = parse_retry_after((("retry-after", asked), ("date", imf(theirs))), maximum=10**5)
    assert found == min(max(late, 0), 10**5)


@FORMS
def test_invalid_date_is_ignored(form, time_machine):
    time_machine.move_to(NOW, tick=False)
    asked = form(NOW + dt.timedelta(seconds=9))
    assert parse_retry_after((("retry-after", asked), ("date", "today")), maximum=3600) == 9


@given(
    st.text(max_size=40) | st.text("0123456789 :,-+GMTWedNov", max_size=40),
    st.text("0123456789 :,-+GMTWedNov", max_size=40),
)
def test_any_value_is_bounded_or_none(value, sent):
    seconds = parse_retry_after((("retry-after", value), ("date", sent)), maximum=3600)
    assert seconds is None or 0 <= seconds <= 3600
