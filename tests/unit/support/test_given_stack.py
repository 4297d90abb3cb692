"""A test run may be given a stack that exists; it refuses one that is not marked as being for tests."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from given_stack import GivenStack, read_settings

OURS = """# written by a command
SUPABASE_URL=http://127.0.0.1:1
SUPABASE_ANON_KEY=anon
SUPABASE_SERVICE_ROLE_KEY=service
DATABASE_URL=postgresql://postgres:a=b@127.0.0.1:2/postgres
"""
OF_THE_CLI = """Stopped services: [supabase_studio]
API_URL="http://127.0.0.1:54321"
ANON_KEY="anon"
SERVICE_ROLE_KEY="service"
DB_URL="postgresql://postgres:postgres@127.0.0.1:54322/postgres"
JWT_SECRET="super-secret-jwt-token-with-at-least-32-characters-long"
"""


@pytest.fixture
def given(tmp_path):
    """Give a maker of stacks from the text of a file."""

    def make(text, url=None):
        (tmp_path / "env").write_text(text)
        return GivenStack(read_settings(tmp_path / "env", url))

    return make


@pytest.fixture
def configure(request):
    """Give the hook that reads the options, of the conftest of all tests."""
    (conftest,) = [each for each in request.config.pluginmanager.get_plugins() if hasattr(each, "NOT_FOR_TESTS")]

    def with_options(**options):
        given = {"stack_env": None, "stack_url": None, "stack_may_be_emptied": False, "numprocesses": None}
        conftest.pytest_configure(SimpleNamespace(option=SimpleNamespace(**{**given, **options})))

    return with_options


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"stack_env": Path("env")}, "add --stack-may-be-emptied"),
        ({"stack_url": "http://127.0.0.1:1"}, "--stack-url needs --stack-env"),
        ({"stack_env": Path("env"), "stack_may_be_emptied": True, "numprocesses": 2}, "run them without -n"),
    ],
    ids=["not marked", "no keys", "two processes"],
)
def test_a_run_that_would_do_harm_is_refused_before_it_begins(configure, options, refusal):
    """Nothing is collected, and nothing is connected to."""
    with pytest.raises(pytest.UsageError, match=re.escape(refusal)):
        configure(**options)


def test_a_run_that_is_allowed_is_not_refused(configure, monkeypatch):
    """Without the options, and with a stack that is for tests."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    configure()
    configure(stack_env=Path("env"), stack_may_be_emptied=True)


def test_both_spellings_of_a_file_are_read(given):
    """Of `listener up --env-file`, and of `supabase status -o env`, whose values are quoted."""
    ours, theirs = given(OURS), given(OF_THE_CLI)
    assert (ours.url, ours.database_url) == ("http://127.0.0.1:1", "postgresql://postgres:a=b@127.0.0.1:2/postgres")
    assert (theirs.url, theirs.anon_key, theirs.service_key) == ("http://127.0.0.1:54321", "anon", "service")
    assert theirs.ports == {"api": 54321, "postgres": 54322}
    assert theirs.user_token("ada").count(".") == 2
    assert given(OURS, "http://localhost:9/").url == "http://localhost:9"


def test_a_file_that_lacks_something_is_refused_by_its_name(given):
    """All of it at once."""
    with pytest.raises(KeyError, match=r"SUPABASE_ANON_KEY.*DATABASE_URL"):
        given("SUPABASE_URL=http://127.0.0.1:1\nSUPABASE_SERVICE_ROLE_KEY=service\n")


def test_what_a_stack_does_not_have_skips_the_test_that_asks(given):
    """With the reason."""
    stack = given(OURS.replace("http://127.0.0.1:1", "https://project.supabase.co"))
    for ask, reason in (
        (lambda: stack.cluster, "only the embedded stack"),
        (lambda: stack.ports["api"], "no port on this machine"),
        (lambda: stack.user_token("ada"), "has no SUPABASE_"),
    ):
        with pytest.raises(pytest.skip.Exception, match=reason):
            ask()


def test_listeners_get_no_secret_that_only_tests_need(given):
    """Neither the key that signs tokens nor a superuser's password."""
    environment = given(
        OURS + "SUPABASE_JWT_SECRET=s\nADMIN_DATABASE_URL=postgresql://supabase_admin@h/d\n"
    ).environment()
    assert environment.keys() & {"SUPABASE_JWT_SECRET", "ADMIN_DATABASE_URL"} == set()
    assert environment["SUPABASE_URL"] == "http://127.0.0.1:1"


def test_only_tables_of_the_migrations_are_emptied(given):
    """A project has others."""
    tables = given(OURS).own_tables
    assert {"public.scheduled_jobs", "public.meetings", "job_scheduler.changed_rows"} <= set(tables)
    assert not {"job_scheduler.limits", "job_scheduler.migrations"} & set(tables)
