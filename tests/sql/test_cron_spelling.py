"""A preview shows what an insert takes: the database and the listener read cron expressions alike."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from listener.domain.job import Trigger, TriggerType
from listener.domain.schedule import validate
from listener.errors import InvalidValueError
from listener.testing import NOON

if TYPE_CHECKING:
    import psycopg

WORDS = """
    * ? L l W # / - , mon SUN jan DEC 7 0 5 31 30 29 12 59 60 24 23 1 2 00 08 100 15w w15 1#2 5#6 L5 5L
    */5 */60 */24 */31 */8 */9 5/3 22-2 5-5 05-5 1-31 0-6 0-7 6-7 7-1 fri-mon sat-sun sun-0 H R mon#1
    mon-fri#2 L-3 LW 1-5/2 10-5/3 *,5 5,* 1,,2 1,15 L,3 mon#1,L5 @daily
"""
PARTS = WORDS.split()
TAKES = """
create function pg_temp.takes(expression text) returns boolean language plpgsql as $$
begin
    perform job_scheduler.check_cron(jsonb_build_object('expression', expression));
    return true;
exception when sqlstate '22023' then
    return false;
end $$
"""


def spelled(chance: random.Random) -> str:
    """An expression, mostly of one field that is not a star; most are wrong somewhere."""
    fields = ["*"] * chance.choice([5, 5, 5, 5, 6, 6, 4, 7])
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3])):
        fields[chance.randrange(len(fields))] = chance.choice(PARTS) + chance.choice(["", "", "", ",3", "-5", "/2"])
    return chance.choice(["", "", "", " "]) + chance.choice([" ", " ", "\t", "  "]).join(fields)


def listener_takes(expression: str) -> bool:
    """Whether a preview would show it."""
    try:
        validate(Trigger(TriggerType.CRON, NOON, {"expression": expression}))
    except InvalidValueError:
        return False
    return True


def test_the_database_and_the_listener_take_the_same_expressions(database: psycopg.Connection[Any]) -> None:
    """The preview refuses what the insert refuses, and the other way round."""
    chance = random.Random(20261121)  # noqa: S311 - examples, no secrets
    examples = [*PARTS, " @daily", "@DAILY", *(spelled(chance) for _ in range(4000))]
    database.execute(TAKES)
    query = "select e as expression, pg_temp.takes(e) as taken from unnest(%s::text[]) as e"
    rows = database.execute(query, [examples]).fetchall()
    theirs = {row["expression"] for row in rows if row["taken"]}
    ours = {expression for expression in examples if listener_takes(expression)}
    assert ours == theirs
    assert 300 < len(ours) < len(examples) - 300
