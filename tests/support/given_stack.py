"""A stack that a test run is given instead of starting one: `pytest --stack-env FILE`.

It has what tests ask of `listener.local.stack.Stack`. What only the embedded stack has skips the test that asks for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from emptying import EMPTIED, empty
from psycopg.conninfo import conninfo_to_dict

from listener.local import keys
from listener.migrate.files import migrations_folder
from listener.migrate.migrator import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OTHER_NAMES = {
    "SUPABASE_URL": "API_URL",
    "SUPABASE_ANON_KEY": "ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY": "SERVICE_ROLE_KEY",
    "SUPABASE_PUBLISHABLE_KEY": "PUBLISHABLE_KEY",
    "SUPABASE_SECRET_KEY": "SECRET_KEY",
    "SUPABASE_JWT_SECRET": "JWT_SECRET",
    "DATABASE_URL": "DB_URL",
}
"""How `supabase status -o env` calls what `listener up --env-file` writes."""
REQUIRED = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "DATABASE_URL")
LOOPBACK = {"127.0.0.1", "localhost"}
TABLE = re.compile(
    rf"^ *create table (?:if not exists )?(public\.\w+|job_scheduler\.(?:{'|'.join(EMPTIED)})) ", re.MULTILINE
)
LIVE = "select name from public.job_listeners where heartbeat_at > clock_timestamp() - interval '15 s'"


@dataclass(frozen=True)
class GivenStack:
    """A stack that somebody else runs; `settings` are those of its file."""

    settings: Mapping[str, str]

    @property
    def url(self) -> str:
        """See `Stack.url`."""
        return self.settings["SUPABASE_URL"]

    @property
    def anon_key(self) -> str:
        """See `Stack.anon_key`."""
        return self.settings["SUPABASE_ANON_KEY"]

    @property
    def service_key(self) -> str:
        """See `Stack.service_key`."""
        return self.settings["SUPABASE_SERVICE_ROLE_KEY"]

    @property
    def database_url(self) -> str:
        """See `Stack.database_url`."""
        return self.settings["DATABASE_URL"]

    @property
    def admin_dsn(self) -> str:
        """PostgreSQL as the superuser that the file names, or else as role postgres, which suffices for most tests."""
        return self.settings.get("ADMIN_DATABASE_URL", self.database_url)

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports of gateway and PostgreSQL, if they are on this machine: proxies of tests stand before them."""
        address, database = urlsplit(self.url), conninfo_to_dict(self.database_url)
        ports = GivenPorts()
        if address.scheme == "http" and address.hostname in LOOPBACK:
            ports["api"] = address.port or 80
        if database.get("host") in LOOPBACK:
            ports["postgres"] = int(database.get("port") or 5432)
        return ports

    @property
    def keys(self) -> Any:
        """The keys that the file has."""
        return GivenKeys(self.settings)

    @property
    def cluster(self) -> Any:
        """Nothing: the test looks at programs or files of the embedded stack, or stops them."""
        return pytest.skip("only the embedded stack has programs and files that tests may touch")

    @property
    def own_tables(self) -> list[str]:
        """The tables that the migrations make and that may be emptied; others of the database are somebody's."""
        return TABLE.findall("".join(path.read_text() for path in sorted(migrations_folder().glob("*.sql"))))

    def user_token(self, name: str) -> str:
        """See `Stack.user_token`."""
        return keys.user_token(self.keys, name)

    def environment(self) -> dict[str, str]:
        """See `Stack.environment`."""
        unset = {"LISTENER_HTTP_BIND", "ADMIN_DATABASE_URL", "SUPABASE_JWT_SECRET", *OTHER_NAMES.values()}
        return {
            **{name: value for name, value in self.settings.items() if name not in unset},
            "LISTENER_DEBUG": "true",
        }

    def prepare(self) -> None:
        """Migrate the database, and empty every table of the migrations.

        Raises:
            RuntimeError: A listener runs on it.
        """
        apply_migrations(self.database_url, migrations_folder())
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            live = [name for (name,) in connection.execute(LIVE).fetchall()]
            if live:
                message = f"{self.url} has a listener ({', '.join(live)}): stop it, it would take the tests' jobs"
                raise RuntimeError(message)
            connection.execute("delete from auth.users")
            empty(connection, self.own_tables)


class GivenPorts(dict[str, int]):
    """Ports by name; one that is out of reach skips the test that asks for it."""

    def __missing__(self, name: str) -> int:
        return pytest.skip(f"the stack's {name} has no port on this machine that is known to the tests")


class GivenKeys:
    """The keys of a file; one that it lacks skips the test that asks for it."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> str:
        variable = f"SUPABASE_{name.upper()}"
        return self._settings.get(variable) or pytest.skip(f"the file of the stack has no {variable}")


def needs_embedded(stack: object, why: str) -> None:
    """Skip a test that would harm a given stack, or that is not about it."""
    if isinstance(stack, GivenStack):
        pytest.skip(why)


def needs_superuser(stack: Any) -> None:
    """Skip a test that does what role postgres must not do, unless the stack's file names a superuser."""
    with psycopg.connect(stack.admin_dsn) as connection:
        if connection.execute("select not rolsuper from pg_roles where rolname = current_user").fetchone() == (True,):
            pytest.skip("needs ADMIN_DATABASE_URL of a superuser in the file of the stack")


def read_settings(path: Path, url: str | None) -> dict[str, str]:
    """Read `NAME=value` lines, quoted or not; `url` counts more than the file's.

    Raises:
        KeyError: Something is missing; the names of all that is.
    """
    lines = [line.partition("=") for line in path.read_text().splitlines() if re.match(r"\w+=", line)]
    given = {name: value.strip("\"'") for name, _, value in lines}
    given |= {name: given[other] for name, other in OTHER_NAMES.items() if name not in given and other in given}
    given |= {"SUPABASE_URL": url.rstrip("/")} if url else {}
    missing = [name for name in REQUIRED if not given.get(name)]
    if missing:
        raise KeyError(*missing)
    return given
