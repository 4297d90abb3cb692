"""A preview shows what an insert accepts, and refuses the rest with the same message, word for word."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from cron_corpus import corpus

from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import validate
from listener.errors import InvalidValueError
from listener.preview.schedule_preview import preview
from listener.testing import NOON

if TYPE_CHECKING:
    import httpx
    import psycopg

WORDS = """
    * ? L l W # / - , mon SUN jan DEC 7 0 5 31 30 29 12 59 60 24 23 1 2 00 08 07 100 15w w15 1#2 5#6 L5 5L
    */5 */60 */24 */31 */7 */8 5/3 22-2 5-5 05-5 1-31 0-6 0-7 6-7 7-1 7-0 fri-mon sat-sun sun-0 sun-7 H R mon#1
    mon-fri#2 L-3 L-29 L-30 L-31 LW LWW friL l-0 1-5/2 10-5/3 22-2/3 *,5 5,* 1,,2 1,15 L,3 1w,15w mon#1,L5 mon,fri#1
    @daily @every TZ=UTC 2026 h(0-9) 0~9
"""
PARTS = WORDS.split()
REFUSAL = """
create or replace function pg_temp.refusal(expression text) returns text language plpgsql as $$
begin
    {attempt};
    return null;
exception when sqlstate '22023' then
    return sqlerrm;
end $$
"""
CHECK = "perform job_scheduler.check_schedule('cron', jsonb_build_object('expression', expression))"
INSERT = """insert into public.scheduled_jobs (handler, trigger_type, schedule)
    values ('noop', 'cron', jsonb_build_object('expression', expression))"""


def spelled(chance: random.Random) -> str:
    """An expression, mostly of one field that is not a star; most are wrong somewhere."""
    fields = ["*"] * chance.choice([5, 5, 5, 5, 6, 6, 4, 7])
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3])):
        fields[chance.randrange(len(fields))] = chance.choice(PARTS) + chance.choice(["", "", "", ",3", "-5", "/2"])
    return chance.choice(["", "", "", " "]) + chance.choice([" ", " ", "\t", "  "]).join(fields)


def refusal(expression: object) -> str | None:
    """Return the message of a preview that refuses an expression."""
    trigger = Trigger(TriggerType.CRON, NOON, {"expression": expression})
    try:
        preview(trigger, NOON, 1)
    except InvalidValueError as refused:
        return str(refused)
    return None


def compare(database: psycopg.Connection[Any], attempt: str, examples: list[str]) -> dict[str, str | None]:
    """Ask the database for all of them at once, hold each answer against the preview's, and return the answers."""
    with database.transaction(force_rollback=True):
        database.execute(REFUSAL.format(attempt=attempt))
        query = "select e as expression, pg_temp.refusal(e) as message from unnest(%s::text[]) as e"
        theirs = {row["expression"]: row["message"] for row in database.execute(query, [examples]).fetchall()}
    assert {expression: refusal(expression) for expression in examples} == theirs
    return theirs


def test_the_insert_and_the_preview_accept_and_refuse_public_expressions_alike(database: psycopg.Connection[Any]):
    """Each of the corpus; what is refused is refused with one message, which names the field or what to use instead."""
    answers = compare(database, INSERT, corpus())
    assert len(answers) > 1600
    assert sum(message is not None for message in answers.values()) > 200


def test_the_insert_and_the_preview_accept_and_refuse_random_expressions_alike(database: psycopg.Connection[Any]):
    """Forms that nobody writes, too, and several of them in one expression."""
    chance = random.Random(20261121)  # noqa: S311 - examples, no secrets
    answers = compare(
        database, CHECK, [*PARTS, " @daily", "@DAILY", "x" * 256, *(spelled(chance) for _ in range(4000))]
    )
    assert 300 < sum(message is None for message in answers.values()) < len(answers) - 300


SCHEDULES: list[tuple[str, Any]] = [
    ("cron", {"expression": None}),
    ("cron", {"expression": 5}),
    ("cron", {"expression": 'a "quoted" \\ one\t\u0007 ü 😀'}),
    ("cron", {"expression": "1," * 200 + "1 * * * *"}),
    ("cron", {"cron": "* * * * *"}),
    ("cron", {}),
    ("cron", []),
    ("cron", "* * * * *"),
    ("once", {"time": "08:00"}),
    ("daily", {"time": "25:00"}),
    ("daily", {"time": "08:00", "days": [1], "b": 2, "aa": 3}),
    ("weekly", {"time": "08:00"}),
    ("weekly", {"time": "08:00", "days": ["someday"]}),
    ("weekly", {"time": "8:00", "days": []}),
    ("monthly", {"time": "08:00", "days": [1], "missing_day": "next"}),
    ("monthly", {"time": "08:00", "days": [32, True], "missing_day": "next"}),
    ("monthly", {"days": [1]}),
    ("interval", {"seconds": 0}),
    ("interval", {"seconds": "30"}),
    ("interval", {"seconds": 315360001}),
    ("interval", {}),
]


@pytest.mark.parametrize(("kind", "schedule"), SCHEDULES, ids=[str(number) for number in range(len(SCHEDULES))])
def test_each_schedule_is_refused_with_the_message_of_the_insert(client_for, kind: str, schedule: Any):
    """The message is the same for each trigger, from the name of the column on."""
    client: httpx.Client = client_for("somebody-who-errs")
    answer = client.post("/scheduled_jobs", json={"handler": "noop", "trigger_type": kind, "schedule": schedule})
    assert answer.status_code == 400
    with pytest.raises(InvalidValueError) as refused:
        validate(Trigger(TriggerType(kind), NOON, schedule))
    assert str(refused.value) == answer.json()["message"]


@pytest.mark.parametrize("name", ["Mars/Base", "CET+1", "europe/berlin", "+02:00", ""])
def test_a_zone_is_refused_with_the_message_of_the_insert(client_for, name: str):
    """Not in the spelling of the IANA database, or no zone at all."""
    client: httpx.Client = client_for("somebody-who-errs")
    answer = client.post("/scheduled_jobs", json={"handler": "noop", "timezone": name})
    assert answer.status_code == 400
    with pytest.raises(InvalidValueError) as refused:
        validate(Trigger(TriggerType.ONCE, NOON, {}, timezone=name))
    assert str(refused.value) == answer.json()["message"]
