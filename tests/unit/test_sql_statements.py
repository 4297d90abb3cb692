"""Migrations are split into the very statements that the Supabase CLI records (its own answer is the expectation)."""

from __future__ import annotations

from listener.migrate.sql_statements import split


def test_a_semicolon_within_a_string_a_comment_a_body_or_a_name_ends_nothing() -> None:
    """Recorded from `supabase db push` 3.1.0 for the same text."""
    text = r"""
-- leading comment; with semicolon
create table t1 (a text default 'a;b'); -- trailing
/* block; */ create function f1() returns int language sql begin atomic select 1; select 2; end;
create function f2() returns int language plpgsql as $x$ begin return 1; end $x$;

insert into t1 values (E'it\';s'), ('x'';'), (U&'d'), ($$;$$);
create table "we;ird" (a int)
"""
    assert split(text) == [
        "-- leading comment; with semicolon\ncreate table t1 (a text default 'a;b')",
        "-- trailing\n/* block; */ create function f1() returns int language sql begin atomic select 1; select 2; end",
        "create function f2() returns int language plpgsql as $x$ begin return 1; end $x$",
        r"insert into t1 values (E'it\';s'), ('x'';'), (U&'d'), ($$;$$)",
        'create table "we;ird" (a int)',
    ]


def test_a_case_within_an_atomic_body_does_not_close_it() -> None:
    """`end` closes the innermost of `case` and `begin atomic`."""
    body = "create function f() returns int begin atomic select case when true then 1 end; select 2; end"
    assert split(f"{body}; select 3;") == [body, "select 3"]
