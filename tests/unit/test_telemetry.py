"""The log is readable by people or programs, shows no secret, and every event and metric is documented."""

from __future__ import annotations

import io
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from listener.execution.worker import CarriedClock
from listener.handler_api.context import JobContext, Surroundings
from listener.masking import redaction
from listener.masking.masker import Masker
from listener.masking.redaction import MASK, redact_text
from listener.observability.events import Event, configure_logging
from listener.observability.metrics import FEED_STATES, Metrics
from listener.testing import NOON, make_run

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave structlog and the root logger as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "websockets", "realtime", "hpack")}
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, each in levels.items():
        logging.getLogger(name).setLevel(each)


def test_json_is_one_object_a_line():
    """The event, its fields, the level and an instant in UTC."""
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    structlog.get_logger().info(Event.SERVICE_READY, jobs=3)
    shown = json.loads(stream.getvalue())
    assert (shown["event"], shown["jobs"], shown["level"]) == ("service.ready", 3, "info")
    assert shown["timestamp"].endswith("Z")


def test_lines_of_libraries_have_the_same_form():
    """One stream, one form, and secrets masked there too."""
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    logging.getLogger("some.library").warning("connecting to wss://x/?apikey=%s&vsn=1", JWT)
    shown = json.loads(stream.getvalue())
    assert (shown["logger"], shown["level"]) == ("some.library", "warning")
    assert shown["event"] == f"connecting to wss://x/?apikey={MASK}&vsn=1"


def test_a_message_has_one_form_only():
    """Uvicorn adds a second one, with the codes of colors, to each of its own."""
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    logging.getLogger("uvicorn.error").warning("started", extra={"color_message": "\x1b[36mstarted"})
    assert "color_message" not in json.loads(stream.getvalue())


def test_the_console_is_for_people():
    """The same line without braces; no colours where no terminal is."""
    stream = io.StringIO()
    configure_logging("console", "info", stream)
    structlog.get_logger().info("hello", who="you")
    assert "hello" in stream.getvalue()
    assert "who=you" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_what_users_send_is_one_line_of_the_console():
    """It must neither look like a line of the service nor move the cursor of whoever reads the log."""
    stream = io.StringIO()
    configure_logging("console", "info", stream)
    forged = "hello\n2026-01-01T00:00:00Z [info     ] service.ready\x1b[2J\u202e"
    structlog.get_logger().info(forged, word="\x1b[2J", several=["\x1b[2J"])
    logging.getLogger("some.library").warning("from %s", forged)
    try:
        int(forged)
    except ValueError:
        structlog.get_logger().exception("failed")
    ours, theirs, *rest = stream.getvalue().splitlines()
    assert "hello\\n2026" in ours
    assert "hello\\n2026" in theirs
    assert rest[0].endswith("failed")
    assert not any(control in stream.getvalue() for control in ("\x1b", "\u202e"))


class Telling:
    """An object that shows a key when it is written."""

    def __repr__(self) -> str:
        return "Telling(sb_secret_hush)"


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_shows_a_secret_however_it_came_there(form):
    """In an object's own text, in a traceback, in a local variable of a frame; ours or a library's."""
    stream = io.StringIO()
    configure_logging(form, "info", stream)
    held = "a-local-variable"
    try:
        int("sb_secret_hush")
    except ValueError:
        structlog.get_logger().exception("failed", what=Telling(), length=len(held))
        logging.getLogger("some.library").exception("failed %s", Telling())
    shown = stream.getvalue()
    assert shown.count("ValueError: invalid literal") == 2
    assert "hush" not in shown
    assert shown.count(f"sb_secret_{MASK}") == 6  # two objects, and two lines of each traceback
    assert held not in shown.replace('held = "a-local-variable"', "")


def test_the_keys_of_the_process_are_hidden_whatever_they_look_like(monkeypatch):
    """The service names its own key at its start, so that no pattern has to guess it."""
    monkeypatch.setattr(redaction, "_always", Masker())
    redaction.hide_always(["an-unusual-key"])
    redaction.hide_always(["another-key"])
    assert redact_text("https://x/?an-unusual-key&another-key") == f"https://x/?{MASK}&{MASK}"


def test_lines_below_the_level_are_not_shown():
    """Neither the service's, nor a library's, nor a run's, though the ledger keeps the last."""
    stream = io.StringIO()
    configure_logging("json", "warning", stream)
    structlog.get_logger().info("ours")
    logging.getLogger("some.library").info("theirs")
    job = JobContext(make_run("greet"), Surroundings(CarriedClock(NOON)))
    job.log.info("the run's")
    assert stream.getvalue() == ""
    assert [line.message for line in job.take_logs()] == ["the run's"]


def test_a_run_may_log_at_debug_level_for_the_operator():
    """The service's level decides what is shown; the ledger begins at info."""
    stream = io.StringIO()
    configure_logging("json", "debug", stream)
    job = JobContext(make_run("greet"), Surroundings(CarriedClock(NOON)))
    job.log.debug("detail")
    assert json.loads(stream.getvalue())["job_id"] == 1
    assert job.take_logs() == ()


def test_exceptions_are_reported_with_their_tracebacks_in_json():
    """One line still."""
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("oops")
    assert "ZeroDivisionError" in json.loads(stream.getvalue())["exception"]


def test_an_unknown_level_is_refused():
    """The settings check it first; nothing is configured by half."""
    with pytest.raises(KeyError):
        configure_logging("json", "loud")


def test_the_key_in_the_websocket_url_is_not_logged_at_debug_level():
    """Both websockets and httpx log URLs and headers below their own thresholds, whatever the service's level."""
    configure_logging("json", "debug", io.StringIO())
    assert not logging.getLogger("websockets.client").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)


@pytest.mark.parametrize(
    "key",
    [
        "Authorization",
        "apikey",
        "api_key",
        "X-Api-Key",
        "service_role_key",
        "SUPABASE_SECRET_KEY",
        "password",
        "access_token",
        "dsn",
    ],
)
def test_values_under_secret_names_are_masked(key):
    """At the top and nested."""
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    structlog.get_logger().info("x", **{key: "hush"}, nested=[{"deep": {key: "hush"}}])
    assert "hush" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Bearer {JWT}", f"Bearer {MASK}"),
        ("key sb_secret_abcDEF_123 here", f"key sb_secret_{MASK} here"),
        ("postgresql://postgres:hush@127.0.0.1:5432/x", f"postgresql://postgres:{MASK}@127.0.0.1:5432/x"),
        (f"bare {JWT}.", f"bare {MASK}."),
        ("http://127.0.0.1:8787/livez?page=2", "http://127.0.0.1:8787/livez?page=2"),
        ("a monkey said 12:30", "a monkey said 12:30"),
    ],
)
def test_secrets_inside_texts_are_masked_and_nothing_else(text, shown):
    """Keys in URLs, bearer tokens, secret keys, passwords of connection strings and bare JWTs."""
    assert redact_text(text) == shown


def test_a_jwt_is_masked_whole_where_the_service_key_is_one_too(monkeypatch):
    """All begin alike, and the beginning of a key is masked wherever it stands."""
    monkeypatch.setattr(redaction, "_always", Masker([f"{JWT[:36]}.c2VydmljZQ.a2V5"]))
    assert redact_text(f"as {JWT}, or its beginning {JWT[:12]}") == f"as {MASK}, or its beginning {MASK}"


def test_masking_takes_linear_time():
    """A job's row may bring any text: none of these may hold the loop."""
    for piece in ("eyJ", "eyJa.", "://a:", "://", "token=", "Bearer ", "sb_secret_"):
        text = piece * (400_000 // len(piece))
        began = time.perf_counter()
        redact_text(text)
        assert time.perf_counter() - began < 2, piece


def test_every_event_is_documented_and_no_other():
    """The page's table and the code's table are one."""
    documented = {
        line.split("`")[1]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `") and "listener_" not in line
    }
    assert documented == set(Event)


def test_every_metric_is_documented_and_no_other():
    """The page names metrics as Prometheus shows them."""
    shown = {line.split()[2] for line in Metrics().exposition().decode().splitlines() if line.startswith("# TYPE")}
    shown = {name for name in shown if not name.endswith("_created")}
    documented = {line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `listener_")}
    assert documented == shown


def test_the_metrics_say_what_happened():
    """Each method moves its own number."""
    metrics = Metrics()
    metrics.claims_answered(3, 1)
    metrics.instants_skipped({"overlap": 2, "misfire": 1})
    metrics.hints_received("broadcast", 2)
    metrics.changes_missed(4)
    metrics.probe_sent("unsent")
    metrics.channel_stale("broadcast")
    metrics.frame_unreadable()
    metrics.feed_session_begun("realtime")
    metrics.feed_state("realtime", "receiving")
    metrics.polled(0.01)
    metrics.poll_failed()
    metrics.leases_lost()
    metrics.runs_rescued(5)
    metrics.loop_lagged(0.002)
    metrics.run_refused("noop", "failed")
    metrics.thread_abandoned()
    for watch in (metrics.watch_wheel, metrics.watch_leases, metrics.watch_unwritten, metrics.watch_running):
        watch(lambda: 7)
    lines = metrics.exposition().decode().splitlines()
    for line in (
        'listener_claims_total{answer="granted"} 3.0',
        'listener_claims_total{answer="refused"} 1.0',
        'listener_instants_skipped_total{reason="overlap"} 2.0',
        'listener_feed_hints_total{source="broadcast"} 2.0',
        "listener_feed_changes_missed_total 4.0",
        'listener_feed_probes_total{outcome="unsent"} 1.0',
        'listener_feed_channels_stale_total{channel="broadcast"} 1.0',
        "listener_feed_frames_unreadable_total 1.0",
        'listener_feed_sessions_total{feed="realtime"} 1.0',
        'listener_feed_session{feed="realtime",listener_feed_session="receiving"} 1.0',
        'listener_feed_session{feed="realtime",listener_feed_session="down"} 0.0',
        "listener_poll_duration_seconds_count 1.0",
        "listener_poll_failures_total 1.0",
        "listener_leases_lost_total 1.0",
        "listener_runs_rescued_total 5.0",
        "listener_loop_lag_seconds_count 1.0",
        'listener_runs_total{handler="noop",status="failed"} 1.0',
        "listener_threads_abandoned_total 1.0",
        "listener_wheel_entries 7.0",
        "listener_leases_held 7.0",
        "listener_reports_unwritten 7.0",
        "listener_runs_in_progress 7.0",
    ):
        assert line in lines


def test_an_unknown_feed_state_is_refused():
    """A slip in a name would show every state as off."""
    with pytest.raises(ValueError, match="maybe_applied"):
        Metrics().feed_state("realtime", "maybe_applied")
    assert "receiving" in FEED_STATES


def test_two_listeners_in_one_program_count_apart():
    """No registry is global."""
    one, other = Metrics(), Metrics()
    one.changes_missed(1)
    assert b"listener_feed_changes_missed_total 0.0" in other.exposition()
