"""Masking looks at no more of a text than is shown, and hides what the bound cuts in half."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.execution.outcome_mapping import Sizes, of_exception
from listener.execution.worker import CarriedClock
from listener.handler_api import payload
from listener.handler_api.context import JobContext, Surroundings
from listener.masking import masker as masker_module
from listener.masking import redaction
from listener.masking.masker import MASK, Masker
from listener.masking.redaction import hiding, redact, redact_head, redact_json, redact_tail
from listener.testing import NOON, make_run

LARGE = 200 * 1024
LIMIT = 1000
GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"
SECRETS = [GREEK[:4], f"{GREEK[:2]} {GREEK[2:4]}", GREEK, f"--- {GREEK}\n" + GREEK[::-1] * 200]
TOKENS = [
    "Bearer " + "t0ken" * 300,
    "?apikey=" + "t0ken" * 300,
    "sb_secret_" + "t0ken" * 30,
    "postgres://user:t0ken-t0ken@host/db",
    f"eyJ{'t0ken' * 10}.{'t0ken' * 200}.t0ken",
]


@pytest.fixture
def looked_at(monkeypatch):
    """How many characters maskers and patterns were given."""
    counts = []
    over, pattern = Masker.over, redaction.SECRET_TEXT

    class Counted:
        def sub(self, replacement, text):
            counts.append(len(text))
            return pattern.sub(replacement, text)

    def counted(self, text, **options):
        counts.append(len(text))
        return over(self, text, **options)

    monkeypatch.setattr(Masker, "over", counted)
    monkeypatch.setattr(redaction, "SECRET_TEXT", Counted())
    return counts


@pytest.mark.parametrize("cut", [redact_head, redact_tail])
@pytest.mark.parametrize("secret", SECRETS)
@given(around=st.integers(-600, 600), filler=st.sampled_from(["x", "x ", "xy\n"]))
def test_a_value_is_hidden_wherever_the_bound_cuts_it(cut, secret, around, filler):
    """Its first or last characters would reveal most of a short one."""
    before = (filler * LIMIT)[: LIMIT + around]
    text = before + secret + (filler * LIMIT)[: LIMIT + around] + secret + before
    with hiding(Masker([secret])):
        shown = cut(text, LIMIT)
    assert not set(shown) & set(GREEK)


@pytest.mark.parametrize("cut", [redact_head, redact_tail])
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_hidden_wherever_the_bound_cuts_it(cut, token):
    """Also the middle of one, whose beginning is out of sight."""
    text = f"{'x ' * LIMIT}{token} {'y ' * LIMIT}"
    for limit in range(1, len(text), 7):
        assert "t0k" not in cut(text, limit)


@pytest.mark.parametrize("cut", [redact_head, redact_tail])
def test_no_more_is_looked_at_than_is_shown(cut, looked_at):
    """However long the text is."""
    assert "more characters" in cut("Bearer abc " * (LARGE // 11), LIMIT)
    assert sum(looked_at) <= 3 * (LIMIT + redaction.OVERLAP)


def _log(job, fields):
    message = "Bearer x " + "m" * LARGE
    job.log.info(message, **fields)
    return job.take_logs()


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "token=" + "f" * LARGE},
        {"many": [f"https://{number}" for number in range(LARGE // 10)]},
        {"deep": json.loads('{"a":' * 500 + '"Bearer x"' + "}" * 500)},
        {"wide": {f"key {number}": {"b": number} for number in range(LARGE // 20)}},
        {"k" * LARGE: "v"},
        {"object": type("Large", (), {"__repr__": lambda _: "://" * LARGE})()},
        {"tuple": (b"x" * LARGE, {"s": {1, 2}})},
    ],
    ids=lambda fields: next(iter(fields))[:9],
)
@pytest.mark.parametrize("secrets", [(), ("correct-horse-battery-staple",)])
def test_a_line_is_bounded_before_it_is_masked(fields, secrets, looked_at, capsys):
    """A line that logs the payload costs the same whether the payload is small or large."""
    job = JobContext(make_run("greet"), Surroundings(CarriedClock(NOON)))
    job.masker = Masker(secrets) if secrets else None
    (line,) = _log(job, fields)
    assert len(line.message) + len(json.dumps(line.fields)) < 20 * 1024
    assert len(capsys.readouterr().out) < 40 * 1024
    assert sum(looked_at) < 250 * 1024


def test_a_line_is_masked_once(looked_at):
    """The service's own processors do not mask again what the run's logger has masked."""
    event = redact(None, "info", {"event": "token=x", "exc_info": None})
    seen = len(looked_at)
    assert redact(None, "info", event) is event
    assert len(looked_at) == seen


def test_a_large_exception_is_bounded_before_it_is_masked(looked_at):
    """Its text, its type's text and its traceback."""
    outcome = of_exception(ValueError("Bearer x\n" * (LARGE // 9)), 1, NOON, Sizes())
    assert outcome.details["traceback"].startswith("… (")
    assert sum(looked_at) < 60 * 1024


def test_a_large_result_without_a_secret_is_not_walked_through(looked_at):
    """Its text shows at once that there is nothing to hide."""
    value = [{"k": f"v{number}"} for number in range(LARGE // 14)]
    with hiding(Masker(["correct-horse-battery-staple"])):
        assert redact_json(value) is value
    assert looked_at == []


@pytest.mark.parametrize("secret", ["correct-horse-battery-staple", "1234567", "1e+22"])
def test_a_large_result_with_a_secret_loses_it(secret):
    """In a text, a key or a number."""
    rest = [{"k": f"v{number}"} for number in range(LARGE // 14)]
    number = float(secret) if secret[0] == "1" else 1
    with hiding(Masker([secret])):
        shown = redact_json([{f"a {secret}": f"{secret}!"}, number, *rest])
    assert shown[0] == {f"a {MASK}": f"{MASK}!"}
    assert str(shown[1]) != secret
    assert shown[2:] == rest


def test_what_would_take_too_long_to_mask_is_not_shown(monkeypatch):
    """Thousands of secret values, and a text that may hold each of them."""
    secrets = Masker([f"secret-{number}" for number in range(5000)])
    assert secrets.over("x" * 8000) == MASK
    assert secrets.over_json(["x" * 8000]) == MASK
    monkeypatch.setattr(masker_module, "MAX_WORK", 10**9)
    assert secrets.over("x" * 8000) == "x" * 8000


def test_of_thousands_of_values_that_do_not_fit_the_number_is_reported():
    """To list them would take longer than to find them."""

    async def handler(job, payload: list[int]) -> None: ...

    declared = payload.Payload(handler)
    with pytest.raises(ValueError, match="validation errors") as refused:
        declared._adapter.validate_python(["x"] * 5000)
    assert payload.misfit(refused.value).error == "metadata: 5000 values do not fit"
