"""Recordings of conversations with Supabase's Realtime server: their lines, and what of a frame can be compared."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDINGS = Path(__file__).parents[1] / "recordings"
SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"  # noqa: S105 - the one of every local Supabase
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
STATUS = re.compile(r"HTTP (\d{3})")
CLOSED = re.compile(r"(client|server) closed code=(\w+) reason=(.*)")
ABNORMAL = "1006"
"""Never on the wire: no close frame came."""
UNTOLD = {ABNORMAL, "None"}

Line = dict[str, Any]


def lines_of(name: str) -> list[Line]:
    """Return the lines of a recording."""
    return [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines()]


def token(role: str | None, seconds: float = 3600, **claims: object) -> str:
    """Sign a token as the recordings' project would."""
    payload = {"role": role, "iss": "supabase", "exp": int(now() + seconds), **claims}
    return jwt.encode(payload, SECRET, algorithm="HS256")


def insertion(ids: list[int], status: str) -> str:
    """Return the statement that inserts such rows."""
    return f"insert into scheduled_jobs (id, status) select unnest(array{ids}::bigint[]), '{status}'"


def insertions(lines: list[Line], at_once: int) -> Iterator[Line]:
    """Give a note before each run of changes: their rows are inserted, so many in a transaction."""
    rows: list[Line] = []
    began: float = 0
    for line in [*lines, note(0, "")]:
        row = inserted(line)
        if row:
            began = began if rows else line["t_ms"]
            rows.append(row)
        elif rows and line["dir"] != "s>c":
            parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
            inserts = [insertion([row["id"] for row in part], rows[0]["status"]) for part in parts]
            yield note(began - 0.01, "SQL: " + ";;".join(inserts))
            rows = []


def inserted(line: Line) -> dict[str, Any] | None:
    """Return the row whose insertion a line reports to a client."""
    if line["dir"] != "s>c" or '"type":"INSERT"' not in line["text"]:
        return None
    message = json.loads(line["text"])
    payload = message["payload"] if isinstance(message, dict) else message[4]
    row: dict[str, Any] = payload["data"]["record"]
    return row


def fates(lines: list[Line]) -> Iterator[tuple[str, str]]:
    """Give what became of each socket: the status of its handshake, and its close, where the client received one."""
    vanished = set()
    for line in lines:
        if line["dir"] != "meta":
            continue
        number, closed = line.get("conn"), CLOSED.match(line["text"])
        if status := STATUS.match(line["text"]):
            yield f"{number} status", status[1]
        elif closed and closed[1] == "server" and number not in vanished:
            yield f"{number} closed", f"{closed[2]} {closed[3]}"
        elif closed and closed[2] in UNTOLD:
            vanished.add(number)


def note(t_ms: float, text: str) -> Line:
    """Return a line that says what was done to the server or its database."""
    return {"t_ms": t_ms, "dir": "note", "text": text}


def now() -> float:
    """Return the wall clock, in UNIX seconds."""
    return datetime.now(UTC).timestamp()  # noqa: TID251 - tokens expire on the wall clock


def issued(line: Line) -> float:
    """Return when the youngest token of a line was issued, in UNIX seconds; 0 where there is none."""
    claims = [jwt.decode(found, options={"verify_signature": False}) for found in TOKEN.findall(line["text"])]
    return max((each["iat"] for each in claims if "iat" in each), default=0)


def lacks(received: list[str], wanted: list[str]) -> bool:
    """Return whether frames are still to come."""
    return len(received) < len(wanted) or bool(Counter(map(topic_of, wanted)) - Counter(map(topic_of, received)))


def frame_of(line: Line) -> str:
    """Return the frame of a line as players keep frames."""
    return f"binary {base64.b64decode(line['text'])!r}" if line.get("bin") else line["text"]


def topic_of(frame: str) -> str:
    """Return what a frame is about."""
    if frame.startswith("binary"):
        return "binary"
    message = json.loads(frame)
    return str(message["topic"] if isinstance(message, dict) else message[2])


def comparable(frame: str, uuids: dict[str, int]) -> str:
    """Return a frame without what differs from run to run; `uuids` numbers those met so far."""
    frame = re.sub(r'"ids":\[([\d,]+)\]', lambda found: f'"ids":{sorted(found[1].split(","))}', frame)
    frame = re.sub(r'"commit_timestamp":"[-\d]{10}T[:\d]{8}\.\d{3}Z"', '"commit_timestamp":"T"', frame)
    frame = re.sub(r'"created_at": "[-\d]{10}T[:\d]{8}(\.\d{1,6})?\+00:00"', '"created_at": "T"', frame)
    frame = re.sub(r'"(phx_ref(?:_prev)?)":"[\w-]{16}"', r'"\1":"R"', frame)
    frame = re.sub(r"has expired \d+ seconds", "has expired N seconds", frame)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda found: f"uuid{uuids[found[0]]}", frame)
