"""Opens connections to PostgreSQL as PostgREST would have them: the role of the service, its claims and its limits."""

from __future__ import annotations

import re
import uuid

import anyio
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from listener.errors import ConnectionLostError, NotConnectedError, RefusedConnectionError
from listener.postgres.conversation import Conversation
from listener.supabase.error_codes import TRANSACTION_POOLER, of_code

CONNECT_SECONDS = 5.0
POOLER_SECONDS = 3.0
"""How long a session pooler may take to answer while another session is in a transaction."""
DEFAULTS = {
    "application_name": "supabase-job-listener",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""Options of libpq, unless the URL has others: the other end may go away without a word."""
PREPARE = """
with said as (
    select
        split_part(c.line, '=', 1) as name, substr(c.line, strpos(c.line, '=') + 1) as value,
        r.rolname = 'service_role' as is_own
    from pg_catalog.pg_roles as r
    cross join lateral unnest(r.rolconfig) as c (line)
    where r.rolname in ('authenticator', 'service_role')
), chosen as (
    select distinct on (p.name) p.name, s.value
    from said as s
    inner join pg_catalog.pg_settings as p on lower(s.name) = lower(p.name)
    where p.context = 'user'
    order by p.name, s.is_own desc
), applied as materialized (
    select set_config(c.name, c.value, false) from chosen as c
)
select
    pg_catalog.pg_backend_pid(),
    (select count(*) from applied),
    set_config('search_path', 'public, extensions', false),
    set_config('request.jwt.claims', '{{"role": "service_role"}}', false),
    set_config('request.method', 'POST', false),
    set_config('request.headers', '{{}}', false),
    set_config('request.cookies', '{{}}', false),
    set_config('job_scheduler.session', '{mark}', false),
    set_config('role', 'service_role', false)
"""
"""PostgREST does this for each request: the settings of its own role, then those of the role that it takes on."""
MARK = "select current_setting('job_scheduler.session', true)"
LASTING = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|is not permitted to log in"
    r'|(role|database) ".*" does not exist|tenant or user not found|SSL (error: certificate|connection is required)'
    r"|certificate verify failed|permission denied for database|unsupported frontend protocol",
    re.IGNORECASE,
)
"""Messages of libpq, which have no code, on connections that no later attempt will get."""
NOT_LOGGED_IN = "28000"
NO_SESSION = (
    "the connection leads through a transaction pooler, which gives each transaction another session of the database"
)


async def connect(url: str) -> Conversation:
    """Open a connection, in autocommit mode, as the role of the URL.

    Raises:
        NotConnectedError: it was not possible this time.
        RefusedConnectionError: an operator has to act.
    """
    named = conninfo_to_dict(url)
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            target = make_conninfo(url, **{name: value for name, value in DEFAULTS.items() if name not in named})
            connection = await psycopg.AsyncConnection.connect(target, autocommit=True)
    except TimeoutError:
        message = f"no connection within {CONNECT_SECONDS:g} s"
        raise NotConnectedError(message) from None
    except psycopg.Error as fault:
        message = " ".join(str(fault).split())
        if LASTING.search(message):
            raise RefusedConnectionError(NOT_LOGGED_IN, message) from fault
        raise NotConnectedError(message) from fault
    return Conversation(connection)


async def begin_session(url: str, *, suspect: bool) -> Conversation:
    """Open a connection as `service_role`, with the settings that PostgREST gives its requests.

    Args:
        url: a role that may become `service_role`.
        suspect: whether to find out if a pooler stands in between that does not keep sessions.

    Raises:
        NotConnectedError: it was not possible this time.
        RefusedConnectionError: an operator has to act.
    """
    mark = str(uuid.uuid4())
    conversation = await connect(url)
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            backend, *_ = await conversation.query(PREPARE.format(mark=mark))
            conversation.mark = mark
            if suspect and backend != str(conversation.backend):
                await _refuse_other_sessions(url, conversation, mark)
    except BaseException as fault:
        conversation.close()
        if isinstance(fault, RefusedConnectionError) and not of_code(fault.code).retryable:
            raise
        if isinstance(fault, (ConnectionLostError, RefusedConnectionError, TimeoutError)):
            raise NotConnectedError(str(fault) or "no answer in time") from fault
        raise
    return conversation


async def _refuse_other_sessions(url: str, conversation: Conversation, mark: str) -> None:
    """Look for the session's mark while another client is in a transaction.

    A pooler serves this connection, for it has named another backend than the one that answers. A transaction pooler
    gives the other client the session that was free last: this one.

    Raises:
        RefusedConnectionError: the mark is gone.
    """
    other = await connect(url)
    try:
        await other.query("begin")
        await other.query(MARK)
        with anyio.move_on_after(POOLER_SECONDS) as waiting:
            found = await conversation.query(MARK)
        if waiting.cancelled_caught or found != [mark]:
            raise RefusedConnectionError(TRANSACTION_POOLER, NO_SESSION)
    finally:
        other.close()
