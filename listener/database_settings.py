"""The settings of the listener's own way to PostgreSQL."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

SCHEMES = ("postgres", "postgresql")
TRANSACTION_POOLER_PORT = "6543"
ALLOWED = "should be postgresql://user:password@host:5432/database"
NO_SESSIONS = (
    "port 6543 is Supabase's transaction pooler, which gives each transaction another session; LISTEN and prepared"
    " statements need the direct connection or the session pooler, port 5432"
)


def check_database_url(secret: SecretStr) -> SecretStr:
    """Return the URL.

    Raises:
        ValueError: it is none, or leads to a transaction pooler; the error does not show the URL, which holds a
            password.
    """
    from psycopg import ProgrammingError  # noqa: PLC0415 - only where the setting is used
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - as above

    url = secret.get_secret_value().strip()
    try:
        parts = urlsplit(url)
        options = conninfo_to_dict(url)
    except (ValueError, ProgrammingError):
        raise ValueError(ALLOWED) from None
    if parts.scheme not in SCHEMES or not options.get("host"):
        raise ValueError(ALLOWED)
    if TRANSACTION_POOLER_PORT in str(options.get("port", "")).split(","):
        raise ValueError(NO_SESSIONS)
    return secret


class DatabaseSettings(BaseSettings):
    """The part of `listener.settings.Settings` on PostgreSQL itself."""

    database_url: Annotated[SecretStr, AfterValidator(check_database_url)] | None = Field(
        default=None,
        description="PostgreSQL itself, in place of PostgREST: `postgresql://user:password@host:5432/postgres`.",
    )
    database_connections: int = Field(default=6, ge=2, le=50, description="Connections to it, beside one that listens.")
