"""A known value is covered wherever a text shows it."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.masking.masker import LEAST_CHARACTERS, MASK, Masker

KEY = "correct-horse-battery-staple"
ODD = 'a "b"\\c\nd/é&f'


@pytest.mark.parametrize(
    "text",
    [
        f"the key {KEY} is wrong",
        f"{KEY}{KEY}",
        f"input_value='{KEY[:15]}...{KEY[-14:]}'",  # as pydantic cuts long values
        f"{KEY[:20]} … (8 more characters)",
        f"… (9 more characters)\n{KEY[4:]}",
    ],
)
def test_a_value_is_covered_whole_and_cut_off(text):
    """Its beginning and its end are recognised, since messages cut in the middle."""
    covered = Masker([KEY]).over(text)
    assert MASK in covered
    assert "horse" not in covered
    assert "staple" not in covered


@pytest.mark.parametrize(
    "text",
    [ODD, repr(ODD), json.dumps(ODD), json.dumps(ODD, ensure_ascii=False), json.dumps(repr(ODD)), quote_plus(ODD)],
)
def test_a_value_is_covered_in_every_notation(text):
    """Quoted by Python, by JSON, by both, or encoded for a URL."""
    assert "d" not in Masker([ODD]).over(text).replace(MASK, "")


def test_what_is_short_is_left_alone():
    """Three characters are in too many words."""
    assert Masker(["abc", ""]).over("abcdef") == "abcdef"


def test_of_two_values_the_longer_one_goes_first():
    """The rest must not reveal it."""
    assert Masker(["pass", "passphrase"]).over("passphrase, pass") == f"{MASK}, {MASK}"


def test_json_is_covered_in_texts_keys_and_numbers():
    """Nothing else of it changes, and its shape stays."""
    value = {"pin": 1234, "at": [12345, True, None, 1.5], "x1234": "pin=1234"}
    assert Masker(["1234"]).over_json(value) == {
        "pin": MASK,
        "at": [12345, True, None, 1.5],
        f"x{MASK}": f"pin={MASK}",
    }


def test_a_number_does_not_break_a_line_of_json():
    """A line may have it inside a longer number; fields are covered one by one before."""
    assert Masker(["1234"]).over('{"job_id": 12345}', numbers=False) == '{"job_id": 12345}'


@given(st.text(min_size=LEAST_CHARACTERS, max_size=80), st.text(max_size=40), st.text(max_size=40))
def test_no_text_keeps_the_value(secret, before, after):
    """The surrounding text does not matter."""
    covered = Masker([secret]).over(before + secret + after)
    assert secret not in covered.replace(MASK, "\0")
