"""The catalogue of handlers decides which jobs are accepted and for whom, and the messages of its refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from listener.local.stack import Stack

PARCEL = {
    "type": "object",
    "required": ["to"],
    "additionalProperties": False,
    "properties": {
        "to": {"type": "string"},
        "count": {"type": "integer", "default": 1},
        "weight": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "size": {"enum": ["s", "m"], "type": "string"},
        "kind": {"const": "parcel", "type": "string"},
        "urgent": {"type": "boolean"},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array"},
        "extra": {"type": "object"},
        "colour": {"$ref": "#/$defs/Colour"},
        "grams": {"type": "integer", "minimum": 1, "maximum": 100},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "code": {"type": "string", "minLength": 2, "maxLength": 4},
        "mail": {"type": "string", "pattern": "^[^@]+@[^@]+$"},
        "odd": {"type": "string", "pattern": "^(?i:x)$"},
        "labels": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "set": {"type": "array", "items": {"type": "integer"}, "maxItems": 1, "uniqueItems": True},
        "stock": {"type": "object", "additionalProperties": {"type": "integer"}},
        "sender": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}], "default": None},
        "tree": {"$ref": "#/$defs/Node"},
        "split": {"type": "array", "items": {"type": "string"}, "x-lenient": True},
    },
    "$defs": {
        "Person": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}},
            "additionalProperties": False,
        },
        "Node": {
            "type": "object",
            "properties": {"size": {"type": "integer"}, "below": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
        },
    },
}
LOGIN = {
    "type": "object",
    "required": ["user", "password"],
    "additionalProperties": False,
    "properties": {
        "user": {"type": "string"},
        "password": {"type": "string", "format": "password", "writeOnly": True},
        "pin": {"type": "integer", "secret": True},
        "keys": {"type": "array", "items": {"$ref": "#/$defs/Key"}},
        "headers": {"type": "object", "secret": "by_name", "additionalProperties": {"type": "string"}},
    },
    "$defs": {"Key": {"type": "object", "properties": {"value": {"anyOf": [{"type": "string", "secret": True}]}}}},
}
HANDLERS = [
    {"name": "noop", "exposed": True, "description": "Nothing", "payload_schema": None},
    {"name": "parcel", "exposed": True, "description": "", "payload_schema": PARCEL},
    {"name": "secret", "exposed": False, "description": "", "payload_schema": {"type": "object"}},
]


@pytest.fixture
def sql(embedded_stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction is rolled back, with a catalogue of its own."""
    with psycopg.connect(embedded_stack.database_url) as connection:
        connection.execute("delete from public.job_handlers")
        publish(connection, HANDLERS)
        yield connection
        connection.rollback()


def publish(connection: psycopg.Connection[Any], handlers: object) -> dict[str, Any]:
    """Publish as a listener does."""
    query = "select public.publish_handlers_v1(%s)"
    return connection.execute(query, [Jsonb({"listener": "l", "handlers": handlers})]).fetchone()[0]


def become(connection: psycopg.Connection[Any], role: str) -> None:
    """Write from now on as PostgREST does for this role."""
    claims = {"role": role} | ({"sub": "11111111-1111-4111-8111-111111111111"} if role == "authenticated" else {})
    connection.execute("reset role")
    connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
    connection.execute(psycopg.sql.SQL("set local role {}").format(psycopg.sql.Identifier(role)))


def refusal(connection: psycopg.Connection[Any], query: str, *arguments: object) -> psycopg.Error | None:
    """Give the error of a statement, or None; either way the transaction goes on."""
    try:
        with connection.transaction():
            connection.execute(query, arguments)
    except psycopg.Error as error:
        return error
    return None


INSERT = "insert into public.scheduled_jobs (handler, metadata) values (%s, %s)"


@pytest.mark.parametrize(
    ("role", "handler", "words"),
    [
        ("authenticated", "noop", None),
        ("authenticated", "secret", 'a handler that is exposed to signed-in users: "noop", "parcel"'),
        ("authenticated", "nope", 'a handler that is exposed to signed-in users: "noop", "parcel"'),
        ("service_role", "noop", None),
        ("service_role", "secret", None),
        ("service_role", "nope", 'a handler that a listener has published: "noop", "parcel", "secret"'),
    ],
)
def test_a_handler_is_looked_up_at_once(sql, role: str, handler: str, words: str | None):
    """The refusal names the column, the value and what is allowed for whoever asks."""
    become(sql, role)
    error = refusal(sql, INSERT, handler, Jsonb({}))
    assert (error is None) is (words is None)
    if error is not None:
        assert error.sqlstate == "22023"
        assert error.diag.message_primary == f'scheduled_jobs.handler: "{handler}" is not allowed; expected {words}'


def test_a_user_changes_no_job_to_a_handler_that_is_not_exposed(sql):
    """Nor gives another payload to one that the service made in the user's workspace."""
    sql.execute("insert into public.job_workspaces (id, name) values ('22222222-2222-4222-8222-222222222222', 'Team')")
    sql.execute(
        "insert into public.job_workspace_members values "
        "('22222222-2222-4222-8222-222222222222', '11111111-1111-4111-8111-111111111111', 'editor')"
    )
    sql.execute(
        "insert into public.scheduled_jobs (handler, workspace_id) "
        "values ('noop', '22222222-2222-4222-8222-222222222222'), ('secret', '22222222-2222-4222-8222-222222222222')"
    )
    become(sql, "authenticated")
    for handler, change in (("noop", "handler = 'secret'"), ("secret", "metadata = '{\"a\": 1}'")):
        error = refusal(sql, f"update public.scheduled_jobs set {change} where handler = %s", handler)  # noqa: S608
        assert error is not None
        assert 'scheduled_jobs.handler: "secret" is not allowed' in str(error)
    assert refusal(sql, "update public.scheduled_jobs set name = 'n' where handler = 'secret'") is None
    assert refusal(sql, "update public.scheduled_jobs set status = 'paused' where handler = 'secret'") is None


def test_a_job_is_marked_as_that_of_whoever_wrote_what_it_runs(sql):
    """So that the listener runs for users only what is exposed, also when that has changed since."""
    sql.execute("insert into public.scheduled_jobs (job_id, handler) values ('service', 'noop')")
    become(sql, "authenticated")
    sql.execute("insert into public.scheduled_jobs (job_id, handler) values ('user', 'noop'), ('taken', 'noop')")
    for column in ("true", "false", "null"):
        error = refusal(sql, f"update public.scheduled_jobs set exposed_only = {column} where job_id = 'taken'")  # noqa: S608
        assert (error is None) is (column == "true")
    assert refusal(sql, "insert into public.scheduled_jobs (handler, exposed_only) values ('noop', true)") is not None
    become(sql, "service_role")
    sql.execute("update public.scheduled_jobs set handler = 'secret' where job_id = 'taken'")
    query = "select job_id, exposed_only from public.scheduled_jobs where job_id in ('service', 'user', 'taken')"
    assert dict(sql.execute(query).fetchall()) == {"service": False, "user": True, "taken": False}


@pytest.mark.parametrize("role", ["authenticated", "service_role", "postgres"])
def test_before_the_first_listener_only_the_service_inserts(sql, role: str):
    """The message says why."""
    sql.execute("delete from public.job_handlers")
    become(sql, role)
    error = refusal(sql, INSERT, "anything", Jsonb({}))
    if role == "authenticated":
        assert error is not None
        assert "expected a handler that a listener has published, and none has published any yet" in str(error)
        assert "Start a listener" in error.diag.message_hint
    else:
        assert error is None


FITTING = [
    {},
    {"count": 7},
    {"count": "7"},
    {"count": True},
    {"count": 7.0},
    {"weight": None},
    {"weight": "1.5"},
    {"weight": "inf"},
    {"size": "s"},
    {"kind": "parcel"},
    {"urgent": 0},
    {"urgent": "Yes"},
    {"at": 1700000000},
    {"tags": [1]},
    {"extra": {}},
    {"colour": 5},
    {"grams": 100, "share": 0.5, "code": " abcd ", "mail": "me@here", "odd": "y", "labels": ["a"], "set": [1, 1]},
    {"grams": "101", "mail": "not\n", "share": "2"},
    {"stock": {"a": 1, "b": "2"}, "sender": None, "tree": {"below": [{"size": 1, "below": []}]}},
    {"sender": {"name": "me"}},
    {"split": "a,b"},
]
MISFITS = {
    "missing": ({"to": None}, '"to" of handler "parcel" to be string'),
    "surplus": ({"two": "x"}, 'only the keys that handler "parcel" has: '),
    "no number": ({"count": "many"}, '"count" of handler "parcel" to be integer'),
    "fraction": ({"count": 1.5}, '"count" of handler "parcel" to be integer'),
    "neither": ({"weight": "heavy"}, '"weight" of handler "parcel" to be number or null'),
    "word": ({"size": "xl"}, '"size" of handler "parcel" to be one of "s", "m"'),
    "const": ({"kind": "letter"}, '"kind" of handler "parcel" to be "parcel"'),
    "boolean": ({"urgent": "perhaps"}, '"urgent" of handler "parcel" to be boolean'),
    "instant": ({"at": True}, '"at" of handler "parcel" to be string'),
    "array": ({"tags": {}}, '"tags" of handler "parcel" to be array'),
    "object": ({"extra": []}, '"extra" of handler "parcel" to be object'),
    "too little": ({"grams": 0}, '"grams" of handler "parcel" to be integer of at least 1 and of at most 100'),
    "too much": ({"grams": 101}, '"grams" of handler "parcel" to be integer of at least 1'),
    "at the edge": ({"share": 1}, '"share" of handler "parcel" to be number above 0 and below 1'),
    "too short": ({"code": "x"}, '"code" of handler "parcel" to be string of at least 2 characters'),
    "too long": ({"code": "abcde"}, '"code" of handler "parcel" to be string of at least 2 characters'),
    "form": ({"mail": "nowhere"}, '"mail" of handler "parcel" to be string of the form ^[^@]+@[^@]+$'),
    "few": ({"labels": []}, '"labels" of handler "parcel" to be array of at least 1 items'),
    "many": ({"labels": ["a", "b", "c"]}, '"labels" of handler "parcel" to be array of at least 1 items'),
}
DEEP = {
    "item": ({"labels": ["a", 5]}, '{"labels.1": 5}', '"labels.1" of handler "parcel" to be string'),
    "member": ({"stock": {"a": "x"}}, '{"stock.a": "x"}', '"stock.a" of handler "parcel" to be integer'),
    "model": ({"sender": {"name": 1}}, '{"sender.name": 1}', '"sender.name" of handler "parcel" to be string'),
    "no model": ({"sender": "me"}, '{"sender": "me"}', '"sender" of handler "parcel" to be Person or null'),
    "missing": ({"sender": {}}, "{}", 'the key "sender.name", which handler "parcel" requires'),
    "surplus": ({"sender": {"name": "a", "age": 1}}, '{"sender.age": 1}', "only the keys"),
    "recursion": ({"tree": {"below": [{"size": "x"}]}}, '{"tree.below.0.size": "x"}', '"tree.below.0.size" of handler'),
}


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
@pytest.mark.parametrize("payload", FITTING, ids=json.dumps)
def test_a_payload_that_some_reading_makes_fit_is_let_through(sql, role: str, payload: dict[str, Any]):
    """The handler's model has the last word."""
    become(sql, role)
    assert refusal(sql, INSERT, "parcel", Jsonb({"to": "me", **payload})) is None


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
@pytest.mark.parametrize("name", MISFITS)
def test_a_payload_that_nothing_makes_fit_is_refused_by_the_name_of_its_key(sql, role: str, name: str):
    """At the insert and at an update, with the value and what is expected."""
    payload, words = MISFITS[name]
    become(sql, role)
    insert = refusal(sql, INSERT, "parcel", Jsonb({"to": "me", **payload}))
    sql.execute(INSERT, ["parcel", Jsonb({"to": "me"})])
    change = refusal(
        sql, "update public.scheduled_jobs set metadata = %s where handler = 'parcel'", Jsonb({"to": "me", **payload})
    )
    for error in (insert, change):
        assert error is not None
        assert error.sqlstate == "22023"
        assert error.diag.message_primary.startswith("scheduled_jobs.metadata: {")
        assert f"expected {words}" in error.diag.message_primary
        assert json.dumps(payload) in error.diag.message_primary or name == "surplus"


@pytest.mark.parametrize("name", DEEP)
def test_what_does_not_fit_is_found_at_any_depth(sql, name: str):
    """And named by its path."""
    payload, shown, words = DEEP[name]
    error = refusal(sql, INSERT, "parcel", Jsonb({"to": "me", **payload}))
    assert error is not None
    assert error.diag.message_primary.startswith(f"scheduled_jobs.metadata: {shown} is not allowed; expected {words}")


def test_a_payload_may_be_one_of_several_models(sql):
    """As a union of models is published."""
    either = {
        "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
        "$defs": {
            "Cat": {"type": "object", "required": ["meow"], "properties": {"meow": {"type": "integer"}}},
            "Dog": {"type": "object", "required": ["bark"], "properties": {"bark": {"type": "integer"}}},
        },
    }
    publish(sql, [{"name": "pet", "exposed": True, "description": "", "payload_schema": either}])
    assert refusal(sql, INSERT, "pet", Jsonb({"bark": 1})) is None
    assert refusal(sql, INSERT, "pet", Jsonb({"moo": 1})) is not None


def test_of_a_large_mapping_the_first_keys_are_looked_at(sql):
    """And those that the schema names, wherever they stand: thousands of others would cost a second."""
    stock = {f"{number:09}": 1 for number in range(5_000)}
    assert refusal(sql, INSERT, "parcel", Jsonb({"to": "me", "stock": stock | {"0": "x"}})) is not None
    assert refusal(sql, INSERT, "parcel", Jsonb({"to": "me", "stock": stock | {"last in the order": "x"}})) is None
    named = {"type": "object", "properties": {"named and long": {"type": "integer"}}, "additionalProperties": {}}
    publish(sql, [{"name": "many", "exposed": True, "description": "", "payload_schema": named}])
    assert refusal(sql, INSERT, "many", Jsonb(stock | {"named and long": "x"})) is not None


def test_of_a_large_payload_the_depth_is_left_to_the_model(sql):
    """Looking into all of it would cost the database more than the insert itself."""
    deep = {"tree": {"below": [{"below": [{"size": "x"}]}]}}
    assert refusal(sql, INSERT, "parcel", Jsonb({"to": "me", **deep})) is not None
    assert refusal(sql, INSERT, "parcel", Jsonb({"to": "x" * 20_000, **deep})) is None


@pytest.mark.parametrize(
    "payload",
    [
        {"password": "hunter2"},
        {"user": "me", "password": {"is": "hunter2"}},
        {"user": "me", "password": "hunter2", "secret": "hunter2"},
        {"user": "me", "password": "x", "pin": "hunter2 has 1 digit and more", "keys": "hunter2"},
        {"user": {"password": "hunter2"}, "password": "x"},
    ],
    ids=str,
)
def test_no_refusal_shows_a_secret(sql, payload: dict[str, Any]):
    """It would stand in PostgreSQL's log, too."""
    publish(sql, [{"name": "login", "exposed": True, "description": "", "payload_schema": LOGIN}])
    error = refusal(sql, INSERT, "login", Jsonb(payload))
    assert error is not None
    assert "hunter2" not in f"{error}{error.diag.message_detail}{error.diag.message_hint}"


def test_a_payload_without_a_required_key_is_refused(sql):
    """By the name of the key and of the handler."""
    error = refusal(sql, INSERT, "parcel", Jsonb({"count": 1}))
    assert 'expected the key "to", which handler "parcel" requires' in str(error)


def test_one_bad_row_of_a_thousand_is_found(sql):
    """All rows of a statement are looked at."""
    insert = """
        insert into public.scheduled_jobs (handler, metadata)
        select 'parcel', case when n = 777 then '{}' else '{"to": "me"}' end::jsonb from generate_series(1, %s) as n
    """
    assert refusal(sql, insert, 1000) is not None
    assert refusal(sql, insert, 776) is None


def test_what_listeners_publish_is_what_the_catalogue_has(sql):
    """The latest word counts; of the same name twice in one request, one."""
    first = {"name": "again", "exposed": True, "description": "One", "payload_schema": {"type": "object"}}
    assert publish(sql, [first, first])["published"] == 1
    publish(sql, [{**first, "exposed": False, "description": "Two"}])
    query = (
        "select description, exposed, payload_schema, updated_at = now() from public.job_handlers where name = 'again'"
    )
    assert sql.execute(query).fetchone() == ("Two", False, {"type": "object"}, True)


def test_what_nobody_has_published_for_a_week_is_forgotten(sql):
    """By the next listener that publishes; what is younger stays."""
    sql.execute("update public.job_handlers set updated_at = now() - interval '8 days' where name = 'secret'")
    sql.execute("update public.job_handlers set updated_at = now() - interval '6 days' where name = 'parcel'")
    publish(sql, HANDLERS[:1])
    assert sql.execute("select name from public.job_handlers order by name").fetchall() == [("noop",), ("parcel",)]


def test_a_list_of_many_handlers_is_cut_short(sql):
    """Twenty names and how many more."""
    publish(sql, [{"name": f"h{n:03}", "exposed": True} for n in range(50)])
    error = refusal(sql, INSERT, "nope", Jsonb({}))
    assert '"h019" and 33 more' in str(error)
    assert "h020" not in str(error)


def test_the_catalogue_is_nobodys_to_write(service: httpx.Client):
    """Not even with the service key: it publishes by the function."""
    assert service.post("/job_handlers", json={"name": "forged", "exposed": True}).status_code == 403
    assert service.patch("/job_handlers", params={"name": "eq.webhook"}, json={"exposed": True}).status_code == 403
