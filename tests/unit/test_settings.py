"""The environment is read completely, refused in words that help, and never shows a secret."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from listener.api_key import is_legacy
from listener.commands.run import _warn_of_legacy_key
from listener.errors import SettingsError
from listener.settings import Settings, read_settings, setting_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "SUPABASE_SECRET_KEY or SUPABASE_SERVICE_ROLE_KEY"
SECRET = "sb_secret_c2VjcmV0_abcdefgh"  # noqa: S105 - the kind of thing that must not be shown


def _jwt(role: str) -> str:
    parts = ({"alg": "HS256"}, {"role": role, "exp": 2083758400})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".sig"


@pytest.fixture(autouse=True)
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Settings]:
    """Read the settings in an empty folder and an environment that has these variables alone."""
    monkeypatch.chdir(tmp_path)

    def read_with(**variables: str) -> Settings:
        for each in setting_names():
            for name in each.split(" or "):
                monkeypatch.delenv(name, raising=False)
        for name, text in variables.items():
            monkeypatch.setenv(name, text)
        return read_settings()

    return read_with


def _faults(read: Callable[..., Settings], **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read(**variables)
    assert str(refused.value).split("\n") == refused.value.faults, "one line each"
    return refused.value.faults


def test_url_and_key_are_enough(read):
    """All else has a default."""
    settings = read(SUPABASE_URL="https://abc.supabase.co/", SUPABASE_SECRET_KEY=SECRET)
    assert settings.url == "https://abc.supabase.co"
    assert settings.secret_key.get_secret_value() == SECRET
    assert settings.handlers == ["handlers"]
    assert settings.http_address == ("127.0.0.1", 8787)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LISTENER_SMTP_URL", "http://ada:hush-hush@mail.example.com"),
        ("LISTENER_SMTP_URL", "smtp://ada:hush-hush@mail.example.com?tls=yes"),
        ("LISTENER_SMS_URL", "AC1:hush-hush@api.twilio.com"),
        ("LISTENER_NOTIFICATION_CHANNELS", '["slack://hush-hush"]'),
        ("LISTENER_HEARTBEAT_URL", "hc-ping.com/hush-hush"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush-hush"),
    ],
)
def test_a_malformed_setting_that_may_hold_a_password_is_named_and_not_shown(read, name, text):
    """Its line says what is allowed."""
    (fault,) = _faults(read, SUPABASE_URL="https://abc.supabase.co", SUPABASE_SECRET_KEY=SECRET, **{name: text})
    assert fault.startswith((f"{name}: should be ", f"{name}: input should be "))
    assert "hush" not in fault


def test_passwords_inside_urls_are_among_the_secrets(read):
    """No text of the process shows them."""
    settings = read(
        SUPABASE_URL="https://abc.supabase.co",
        SUPABASE_SECRET_KEY=SECRET,
        LISTENER_SMTP_URL="smtp://ada:hush%2Dhush@mail.example.com",
        LISTENER_SMS_URL="https://AC1:token@api.twilio.com/?From=%2B15550100",
        LISTENER_NOTIFICATION_CHANNELS='{"ops": "slack://A/B/C"}',
        LISTENER_HEARTBEAT_URL="https://hc-ping.com/a-ping-key/scheduler?create=1",
        OTEL_EXPORTER_OTLP_HEADERS="Api-Key=one%20long%20key==,x-tenant=me",
    )
    assert settings.secrets == [SECRET, "hush-hush", "token", "", "A/B/C", "a-ping-key/scheduler", "one long key=="]
    assert settings.headers_of_otlp == {"api-key": "one long key==", "x-tenant": "me"}
    assert "hush" not in repr(settings)


def test_each_missing_setting_is_one_line(read):
    """By the names that the reader has to write."""
    assert _faults(read) == ["SUPABASE_URL is not set", f"{KEY} is not set"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SUPABASE_URL", "abc.supabase.co"),
        ("LISTENER_CONCURRENCY", "many"),
        ("LISTENER_TEMPLATE_FOLDER", "/no/such/folder"),
        ("LISTENER_LEASE_SECONDS", "0"),
        ("LISTENER_LEASE_SECONDS", "nan"),
        ("LISTENER_HORIZON_SECONDS", "inf"),
        ("LISTENER_CLEANUP_AFTER_DAYS", "-1"),
        ("LISTENER_CHANNELS", "broadcast,pigeon"),
        ("LISTENER_HTTP_BIND", "8787"),
        ("LISTENER_HTTP_BIND", "0.0.0.0:99999"),
        ("LISTENER_ALLOWED_HOSTS", "http://listener.internal"),
        ("LISTENER_ALLOWED_HOSTS", "listener.internal,*"),
        ("LISTENER_ALLOWED_ORIGINS", "https://app.example.com/path"),
        ("LISTENER_ALLOWED_ORIGINS", "https://app.example.com,*"),
        ("LISTENER_LOG_FORMAT", "xml"),
        ("ENABLE_MEETING_STATUS_UPDATES", "perhaps"),
    ],
)
def test_a_malformed_setting_is_one_line_with_name_and_value(read, name: str, text: str):
    """The other settings are valid."""
    good = {"SUPABASE_URL": "http://localhost", "SUPABASE_SECRET_KEY": SECRET}
    [line] = _faults(read, **{**good, name: text})
    assert line.startswith(f"{name}: ")
    assert text.rpartition(",")[2] in line


def test_all_faults_are_reported_at_once(read):
    """Nobody wants to start five times."""
    lines = _faults(read, LISTENER_CONCURRENCY="0", LISTENER_LOG_LEVEL="loud", SUPABASE_URL="x")
    assert [line.split(":")[0].split(" is")[0] for line in lines] == [
        "SUPABASE_URL",
        KEY,
        "LISTENER_CONCURRENCY",
        "LISTENER_LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("sb_publishable_abc_def", "publishable"),
        (_jwt("anon"), "role anon"),
        ("two words", "one word"),
        ("sb_secret_\u201cquoted\u201d", "one word"),
    ],
)
def test_a_key_that_cannot_work_is_refused_without_being_shown(read, key: str, why: str):
    """Better here than as a 401 on each request."""
    [line] = _faults(read, SUPABASE_URL="http://localhost", SUPABASE_SECRET_KEY=key)
    assert line.startswith(f"{KEY}: ")
    assert why in line
    assert key not in line


def test_a_secret_in_the_wrong_variable_is_not_shown(read):
    """People paste the key where the URL belongs."""
    assert SECRET not in "".join(_faults(read, SUPABASE_URL=SECRET, SUPABASE_SECRET_KEY=SECRET))


def test_settings_do_not_show_the_key(read):
    """Not in a traceback either."""
    assert SECRET not in repr(read(SUPABASE_URL="http://localhost", SUPABASE_SECRET_KEY=SECRET))


def test_either_name_of_the_key_works_and_an_empty_one_counts_as_missing(read):
    """Compose files hand on what is not set as an empty text."""
    legacy = _jwt("service_role")
    settings = read(SUPABASE_URL="http://localhost", SUPABASE_SECRET_KEY="", SUPABASE_SERVICE_ROLE_KEY=legacy)
    assert settings.secret_key.get_secret_value() == legacy


def test_the_new_key_wins_over_the_legacy_one(read):
    """Where both are set."""
    keys = {"SUPABASE_SERVICE_ROLE_KEY": _jwt("service_role"), "SUPABASE_SECRET_KEY": f" {SECRET}\n"}
    assert read(SUPABASE_URL="http://localhost", **keys).secret_key.get_secret_value() == SECRET


def test_legacy_keys_are_distinguished_from_new_ones():
    """A JWT is one, whatever its role; everything else is not."""
    assert is_legacy(_jwt("service_role"))
    assert not any(is_legacy(key) for key in (SECRET, "a.b.c", "", "a.WzFd.c"))


@pytest.mark.parametrize(("key", "warnings"), [(_jwt("service_role"), ["service.legacy_key"]), (SECRET, [])])
def test_the_service_warns_at_its_start_of_a_legacy_key(key: str, warnings: list[str]):
    """Once, and without the key."""
    with capture_logs() as lines:
        _warn_of_legacy_key(key)
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == warnings
    assert key not in str(lines)


def test_env_files_are_read_and_the_local_one_wins(read, tmp_path: Path):
    """And the environment wins over both."""
    (tmp_path / ".env").write_text(f"SUPABASE_URL=http://shared\nSUPABASE_SECRET_KEY={SECRET}\nLISTENER_BATCH_SIZE=7\n")
    (tmp_path / ".env.local").write_text("SUPABASE_URL=http://local\nLISTENER_CONCURRENCY=8\nOTHER=1\n")
    settings = read(LISTENER_CONCURRENCY="9")
    assert (settings.url, settings.batch_size, settings.concurrency) == ("http://local", 7, 9)


def test_lists_are_separated_by_commas(read):
    """Blanks around them do not matter."""
    good = {"SUPABASE_URL": "http://localhost", "SUPABASE_SECRET_KEY": SECRET}
    settings = read(**good, LISTENER_HANDLERS="handlers, my_package.jobs,", LISTENER_CHANNELS="broadcast")
    assert settings.handlers == ["handlers", "my_package.jobs"]
    assert settings.channels == ["broadcast"]
    assert read(**good, LISTENER_CHANNELS="none").channels == []


DATABASE_URL = "postgresql://postgres:hush%2Fhush@db.localhost:5432/postgres"


def test_connections_of_its_own_bring_a_channel_of_their_own(read):
    """Unless the channels are chosen; a plain `DATABASE_URL`, which projects set for other things, means nothing."""
    good = {"SUPABASE_URL": "http://localhost", "SUPABASE_SECRET_KEY": SECRET}
    settings = read(**good, LISTENER_DATABASE_URL=DATABASE_URL)
    assert settings.channels == ["notify", "broadcast", "postgres_changes"]
    assert "hush/hush" in settings.secrets
    assert read(**good, LISTENER_DATABASE_URL=DATABASE_URL, LISTENER_CHANNELS="notify").channels == ["notify"]
    plain = read(**good, DATABASE_URL=DATABASE_URL)
    assert (plain.database_url, plain.channels) == (None, ["broadcast", "postgres_changes"])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LISTENER_DATABASE_URL", DATABASE_URL.replace("5432", "6543"), "transaction pooler"),
        ("LISTENER_DATABASE_URL", f"{DATABASE_URL}?host=one,two&port=5432,6543", "transaction pooler"),
        ("LISTENER_DATABASE_URL", DATABASE_URL.replace("postgresql", "https"), "should be postgresql://"),
        ("LISTENER_DATABASE_URL", f"{DATABASE_URL}?pgbouncer=true", "should be postgresql://"),
        ("LISTENER_DATABASE_URL", "postgresql:///postgres", "should be postgresql://"),
        ("LISTENER_CHANNELS", "notify", "needs LISTENER_DATABASE_URL"),
    ],
)
def test_a_way_to_the_database_that_cannot_work_is_one_line_without_its_password(read, name, value, words):
    """A transaction pooler keeps no session; without a connection nobody hears NOTIFY."""
    good = {"SUPABASE_URL": "http://localhost", "SUPABASE_SECRET_KEY": SECRET}
    [line] = _faults(read, **{**good, name: value})
    assert line.startswith(f"{name}: ")
    assert words in line
    assert "hush" not in line


def test_meetings_can_be_switched_off(read):
    """By the name that projects already have."""
    good = {"SUPABASE_URL": "http://localhost", "SUPABASE_SECRET_KEY": SECRET}
    assert read(**good).meetings
    assert not read(**good, ENABLE_MEETING_STATUS_UPDATES="false").meetings


def test_every_setting_has_a_name_and_a_description():
    """The documentation's table is made of these."""
    described = setting_names()
    assert len(described) == len(Settings.model_fields)
    assert all(description for _, _, description in described.values())
    assert {"SUPABASE_URL", KEY, "LISTENER_HANDLERS", "ENABLE_MEETING_STATUS_UPDATES"} <= set(described)


@pytest.mark.parametrize("name", ["SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"])
def test_a_secret_key_in_the_place_of_the_publishable_one_is_refused_and_not_shown(read, name):
    """The dashboard would give it to every browser."""
    for wrong in (SECRET, _jwt("service_role"), "hush-hush"):
        (fault,) = _faults(read, SUPABASE_URL="https://abc.supabase.co", SUPABASE_SECRET_KEY=SECRET, **{name: wrong})
        assert fault.startswith("SUPABASE_PUBLISHABLE_KEY or SUPABASE_ANON_KEY: ")
        assert wrong not in fault


def test_browsers_get_the_projects_url_as_they_reach_it_and_no_password(read):
    """Inside a network of containers it may be another one; a gateway may have asked for a password."""
    known = {"SUPABASE_SECRET_KEY": SECRET, "SUPABASE_ANON_KEY": f" {_jwt('anon')}\n"}
    settings = read(SUPABASE_URL="http://ada:hush@kong:8000/", **known)
    assert (settings.browser_url, settings.publishable_key) == ("http://kong:8000", _jwt("anon"))
    settings = read(
        SUPABASE_URL="http://kong:8000", LISTENER_DASHBOARD_SUPABASE_URL="https://api.example.com/", **known
    )
    assert settings.browser_url == "https://api.example.com"
