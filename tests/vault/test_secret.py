from __future__ import annotations

import copy
import json
import pickle
import traceback
from collections.abc import Callable

import orjson
import pytest

from vault.secret import MASK, Secret

PLAIN = "sk_live_hunter2"

SHOWN: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "format with a width": lambda secret: f"{secret:>40}",
    "f-string repr": lambda secret: f"{secret!r}",
    "percent s": lambda secret: "%s" % secret,  # noqa: UP031
    "percent r": lambda secret: "%r" % secret,  # noqa: UP031
    "in a container": lambda secret: str({"key": [secret]}),
    "ascii": ascii,
}

REFUSED: dict[str, Callable[[Secret], object]] = {
    "pickle": pickle.dumps,
    "json": json.dumps,
    "orjson": orjson.dumps,
    "hash": hash,
    "vars": vars,
    "iteration": iter,  # type: ignore[dict-item]
    "bytes": bytes,  # type: ignore[dict-item]
    "join": "".join,  # type: ignore[dict-item]
}


@pytest.mark.parametrize("way", SHOWN)
def test_representation_is_a_mask(way):
    shown = SHOWN[way](Secret(PLAIN))
    assert MASK in shown
    assert PLAIN not in shown


@pytest.mark.parametrize("way", REFUSED)
def test_operation_raises_type_error(way):
    with pytest.raises(TypeError) as caught:
        REFUSED[way](Secret(PLAIN))
    assert PLAIN not in str(caught.value)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_is_the_object_itself(duplicate):
    secret = Secret(PLAIN)
    assert duplicate(secret) is secret


def test_expose_returns_the_string():
    assert Secret(PLAIN).expose() == PLAIN


def test_equal_secrets_are_equal():
    assert Secret("käse\ud800") == Secret("käse\ud800")


def test_different_secrets_differ():
    assert Secret(PLAIN) != Secret(PLAIN + "x")


def test_secret_does_not_equal_its_string():
    assert Secret(PLAIN) != PLAIN


def test_traceback_with_locals_has_no_secret():
    def fail(secret: Secret) -> None:
        raise RuntimeError(f"cannot use {secret}")

    try:
        fail(Secret(PLAIN))
    except RuntimeError as error:
        shown = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    assert MASK in shown
    assert PLAIN not in shown.replace(f"PLAIN = {PLAIN!r}", "")


@pytest.mark.parametrize("value", [b"bytes", None, 7])
def test_value_must_be_a_string(value):
    with pytest.raises(TypeError):
        Secret(value)
