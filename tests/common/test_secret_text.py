"""Secrets as people paste them, and words that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.secret_text import clean_secret, find_control_error, is_placeholder

JUNK = st.text(alphabet="\ufeff\u200b\u200c\u2060\u00a0\u202f\t\r\n \u3000", max_size=6)
TOKEN = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(before=JUNK, token=TOKEN, after=JUNK)
def test_what_surrounds_a_secret_is_removed(before, token, after):
    clean = clean_secret(before + token + after)
    assert clean.value == token
    assert bool(clean.removed) is bool(before or after)


@given(st.text(min_size=1))
def test_cleaning_twice_changes_nothing(raw):
    once = clean_secret(raw).value
    assert clean_secret(once).value == once


@pytest.mark.parametrize(
    ("raw", "removed"),
    [
        ("token\n", ("line ends",)),
        ("\ufefftoken", ("a byte order mark",)),
        ("\u00ef\u00bb\u00bftoken\r\n", ("a byte order mark", "line ends")),
        ("token\u200b", ("invisible characters",)),
        ("\u00a0token ", ("white space",)),
    ],
)
def test_the_notice_names_what_was_removed(raw, removed):
    assert clean_secret(raw).removed == removed


@pytest.mark.parametrize("password", [" in front", "behind ", "\u00a0both\u00a0", "a\tb"])
def test_a_password_keeps_its_spaces(password):
    assert clean_secret(password, is_password=True).value == password


def test_a_password_loses_its_line_end():
    assert clean_secret("\ufeffpass word \r\n", is_password=True).value == "pass word "


@pytest.mark.parametrize("raw", ["", " ", "\n", "\u200b"])
def test_a_secret_of_nothing_else_is_left_to_the_validation(raw):
    assert clean_secret(raw).value == raw


@pytest.mark.parametrize(
    "word",
    [
        "null",
        "None",
        "undefined",
        "NaN",
        "$encrypted$",
        "\u2022" * 10,
        "xxxxxxxx",
        "...",
        "<your-token>",
        "${REFRESH_TOKEN}",
        "{{ token }}",
        "%REFRESH_TOKEN%",
        "YOUR_API_KEY",
        "your-api-key-here",
        "CHANGE_ME",
        "[REDACTED]",
        "[object Object]",
        "__n8n_BLANK_VALUE_e5362baf-c777-4d57-a609-6eaf1f9e87f6",
        " null ",
    ],
)
def test_a_word_that_stands_for_a_secret_is_a_placeholder(word):
    assert is_placeholder(word)


@pytest.mark.parametrize(
    "secret", ["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "nullable", "$2b$12$abc", "x" * 99 + "y", "100%"]
)
def test_a_secret_is_no_placeholder(secret):
    assert not is_placeholder(secret)


@pytest.mark.parametrize("password", ["<3 coffee>", "${money}", "%50%"])
def test_a_password_may_look_like_a_template(password):
    assert is_placeholder(password)
    assert not is_placeholder(password, is_password=True)


def test_an_inner_line_break_is_named():
    assert find_control_error("one\ntwo") == "must not contain the control character U+000A"


@pytest.mark.parametrize("text", ["-----BEGIN X-----\nYQ==\n-----END X-----\n", '{\n "a": 1\n}'])
def test_a_document_may_have_several_lines(text):
    assert find_control_error(text) is None
