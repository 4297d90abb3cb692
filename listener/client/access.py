"""Chooses the client of a scheduler: the caller's own, one for a URL and a key, or one from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import httpx
from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from supabase import AsyncClient, AsyncClientOptions, Client, ClientOptions

from listener.errors import InvalidValueError, SettingsError

TIMEOUTS = httpx.Timeout(15.0, connect=5.0)
KEYS = ("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY")
"""Variables with a key, the strongest key first."""
NO_URL = "SUPABASE_URL is not set: by the environment, by .env, or by `listener up` while it runs in this folder"


class Environment(BaseSettings):
    """The environment's settings, then `.env.local`, `.env`, and the file that `listener up` writes while it is up."""

    model_config = SettingsConfigDict(
        env_file=(".listener/env", ".env", ".env.local"), env_ignore_empty=True, extra="ignore"
    )

    url: str = Field(validation_alias="SUPABASE_URL")
    key: SecretStr = Field(validation_alias=AliasChoices(*KEYS))


@dataclass(frozen=True, slots=True)
class Address:
    """The project of a client, and its identity: `token` is a signed-in user's, or the key again."""

    url: str
    key: str
    token: str


def address_of(client: Client | AsyncClient) -> Address:
    """Return the address of a client; look it up each time: a refreshed session has another token."""
    token = client.options.headers.get("Authorization", "").removeprefix("Bearer ")
    return Address(str(client.supabase_url).rstrip("/"), client.supabase_key, token or client.supabase_key)


@overload
def make_client(
    url: str | None, key: str | None, access_token: str | None, *, asynchronous: Literal[True]
) -> AsyncClient: ...
@overload
def make_client(
    url: str | None, key: str | None, access_token: str | None, *, asynchronous: Literal[False]
) -> Client: ...
def make_client(
    url: str | None, key: str | None, access_token: str | None, *, asynchronous: bool
) -> Client | AsyncClient:
    """Make a stock client that keeps no session.

    Args:
        url: the project's; by default the environment's `SUPABASE_URL`.
        key: any key of the project; by default the first of `KEYS` that the environment has.
        access_token: the JWT of the signed-in user whose rights the client uses.
        asynchronous: make an `AsyncClient`.

    Raises:
        SettingsError: a value is neither given nor in the environment.
    """
    if not (url and key):
        found = _environment()
        url, key = url or found.url, key or found.key.get_secret_value()
    headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
    if asynchronous:
        options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, headers=headers)
        options.httpx_client = httpx.AsyncClient(timeout=TIMEOUTS, http2=False)
        return AsyncClient(url, key, options)
    plain = ClientOptions(auto_refresh_token=False, persist_session=False, headers=headers)
    plain.httpx_client = httpx.Client(timeout=TIMEOUTS, http2=False)
    return Client(url, key, plain)


def _environment() -> Environment:
    try:
        return Environment()
    except ValidationError as invalid:
        missing = {str(fault["loc"][0]) for fault in invalid.errors()}
        lines = {"SUPABASE_URL": NO_URL, KEYS[0]: f"none of {', '.join(KEYS)} is set"}
        raise SettingsError([line for name, line in lines.items() if name in missing] or sorted(missing)) from None


def expect(client: Client | AsyncClient, kind: type[Client | AsyncClient], use_instead: str) -> None:
    """Refuse a client of the other kind.

    Raises:
        InvalidValueError: the client is no `kind`.
    """
    if not isinstance(client, kind):
        raise InvalidValueError(
            field="client", value=type(client).__name__, allowed=f"a {kind.__name__}; with another use {use_instead}"
        )
