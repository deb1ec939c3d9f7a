"""Checks of what callers hand in: the clean value, or a ConfigurationError that names the parameter."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import _validation
from iqiyi_async.errors import ConfigurationError

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text()), st.just(object())
)


def refused(check: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check(*args, **more)
    return str(caught.value)


@pytest.mark.parametrize("value", ["x", " x ", "假期", "a\tb\r\nc", "👩‍👩‍👧", "\u200b.", "x" * 4000])
def test_texts(value: str) -> None:
    assert _validation.text("p", value) == value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "p must not be empty"),
        (" \t\n\u3000", "p must not be empty"),
        (None, "p must be a string, not NoneType"),
        (b"x", "p must be a string, not bytes"),
        (7, "p must be a string, not int"),
        ("x" * 4001, "p has 4001 characters; the most is 4000"),
        ("a\x00b", "p holds a control character or half a surrogate pair"),
        ("a\x1b[2J", "p holds a control character or half a surrogate pair"),
        ("a\x7f", "p holds a control character or half a surrogate pair"),
        ("a\x85", "p holds a control character or half a surrogate pair"),
        ("a\ud800", "p holds a control character or half a surrogate pair"),
    ],
)
def test_texts_that_are_refused(value: Any, problem: str) -> None:
    assert refused(_validation.text, "p", value) == problem


def test_a_text_may_be_allowed_to_be_empty_or_bounded() -> None:
    assert _validation.text("p", "", empty=True) == ""
    assert _validation.text("p", " ", empty=True) == " "
    assert _validation.text("p", "abc", limit=3) == "abc"
    assert refused(_validation.text, "p", "abcd", limit=3) == "p has 4 characters; the most is 3"


@pytest.mark.parametrize(
    ("value", "bounds", "problem"),
    [
        (True, {"least": 0}, "p must be a whole number, not True"),
        (4.0, {"least": 0}, "p must be a whole number, not 4.0"),
        ("4", {"least": 0}, "p must be a whole number, not '4'"),
        (None, {"least": 0}, "p must be a whole number, not None"),
        (0, {"least": 1}, "p must be at least 1, not 0"),
        (0, {"least": 1, "unit": "bytes"}, "p must be at least 1 bytes, not 0"),
        (-1, {"least": 0, "most": 9}, "p must be from 0 to 9, not -1"),
        (10, {"least": 0, "most": 9, "unit": "bytes"}, "p must be from 0 to 9 bytes, not 10"),
    ],
)
def test_whole_numbers_that_are_refused(value: Any, bounds: dict[str, Any], problem: str) -> None:
    assert refused(_validation.whole, "p", value, **bounds) == problem


def test_numbers_that_python_does_not_write_out() -> None:
    huge = 10**5000
    assert (
        refused(_validation.whole, "p", huge, least=0, most=9)
        == "p must be from 0 to 9, not a number of more than 20 digits"
    )
    assert (
        refused(_validation.whole, "p", -huge, least=0) == "p must be at least 0, not a number of more than 20 digits"
    )


@given(st.integers(), st.integers(), st.integers())
def test_whole_numbers_keep_their_bounds(value: int, least: int, most: int) -> None:
    if least <= value <= most:
        assert _validation.whole("p", value, least=least, most=most) == value
    else:
        refused(_validation.whole, "p", value, least=least, most=most)


@pytest.mark.parametrize(("value", "least"), [(0, 0.0), (0.5, 0.0), (10**9, 0.0), (0.001, 0.001), (1e308, 0.0)])
def test_seconds(value: float, least: float) -> None:
    clean = _validation.seconds("p", value, least=least)
    assert clean == value
    assert type(clean) is float


@pytest.mark.parametrize("value", [-1, -0.001, math.inf, -math.inf, math.nan, True, "1", None, 1j, [1]])
def test_seconds_that_are_refused(value: Any) -> None:
    assert refused(_validation.seconds, "p", value) == f"p must be a number of seconds, at least 0, not {value!r}"


def test_seconds_beyond_any_clock() -> None:
    assert refused(_validation.seconds, "p", 10**400) == "p must be a number of seconds that a float can hold"
    assert refused(_validation.seconds, "p", 0.0009, least=0.001).startswith(
        "p must be a number of seconds, at least 0.001"
    )


def test_one_of() -> None:
    _validation.one_of("p", "a", "a", "b")
    assert refused(_validation.one_of, "p", "c", "a", "b") == "p must be 'a' or 'b', not 'c'"
    for value in (None, "", "A", ["a"], {}, 1):
        refused(_validation.one_of, "p", value, "a", "b")


@pytest.mark.parametrize("value", ["7", "4004551398f84a38a371e107f099d27e", "a-b_c.d~e:f", "x" * 256])
def test_file_ids(value: str) -> None:
    assert _validation.file_id(value) == value
    assert _validation.file_ids([value, value], empty=False) == (value, value)
    assert _validation.file_ids(iter((value,)), empty=False) == (value,)
    assert _validation.file_ids({value: 1}, empty=False) == (value,)


@pytest.mark.parametrize("value", ["", None, 7, b"7", ["7"]])
def test_what_is_no_file_id(value: Any) -> None:
    problem = f"file_id must be a non-empty string, not {type(value).__name__}"
    assert refused(_validation.file_id, value) == problem
    assert refused(_validation.file_ids, ["7", value], empty=True) == problem


@pytest.mark.parametrize(
    "character", [*" ,;&=?#/\\\"'", "\r", "\n", "\t", "\0", "\x7f", "é", "７", "\ud800", "x" * 250]
)
def test_characters_that_no_file_id_has(character: str) -> None:
    for value in (f"{character}1234567", f"1234567{character}", f"123{character}4567"):
        problem = "file_id holds a character that no file_id has (or is longer than 256)"
        assert refused(_validation.file_id, value) == problem


@pytest.mark.parametrize("value", ["abc", "", None, 7, b""])
def test_what_is_no_list_of_file_ids(value: Any) -> None:
    if isinstance(value, bytes):
        assert "must name at least one video" in refused(_validation.file_ids, value, empty=False)
        refused(_validation.file_ids, b"7", empty=True)
    else:
        problem = "file_ids must be a collection of strings, such as [file_id]"
        assert refused(_validation.file_ids, value, empty=True) == problem


def test_no_file_ids() -> None:
    assert _validation.file_ids([], empty=True) == ()
    assert refused(_validation.file_ids, [], empty=False) == "file_ids must name at least one video"


@given(st.text())
def test_a_file_id_can_split_nothing(value: str) -> None:
    try:
        clean = _validation.file_id(value)
    except ConfigurationError:
        return
    assert clean.isascii()
    assert clean.isprintable()
    assert not set(clean) & set(" ,;&=?#/\\\"'")


@given(ANYTHING)
def test_nothing_but_a_configuration_error(value: Any) -> None:
    for check in (
        lambda: _validation.text("p", value),
        lambda: _validation.whole("p", value, least=1, most=5),
        lambda: _validation.seconds("p", value),
        lambda: _validation.one_of("p", value, "a"),
        lambda: _validation.file_id(value),
        lambda: _validation.file_ids(value, empty=False),
    ):
        try:
            check()
        except ConfigurationError as error:
            assert str(error).startswith(("p ", "file_id"))  # noqa: PT017 - it may pass, too


def test_a_check_as_a_validator_names_the_field() -> None:
    @attrs.frozen
    class Thing:
        size: int = attrs.field(
            validator=_validation.field(lambda name, value: _validation.whole(name, value, least=1))
        )

    assert Thing(1).size == 1
    assert refused(Thing, 0) == "size must be at least 1, not 0"
