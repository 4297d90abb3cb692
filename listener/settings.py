"""The only reader of the environment. Every setting is declared here, with its default and unit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, HttpUrl, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from listener.api_key import key_fault, publishable_key_fault
from listener.database_settings import DatabaseSettings
from listener.errors import SettingsError
from listener.monitoring_settings import URL, MonitoringSettings, Seconds, matching
from listener.setting_faults import fault_line
from listener.smtp_url import MailServer

if TYPE_CHECKING:
    from pydantic import ValidationInfo

LAST_PORT = 65535
HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+", re.ASCII)
ORIGIN = re.compile(r"https?://[\w.-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:.]+\](:\d{1,5})?", re.ASCII)
PROVIDER = "https://SID:TOKEN@host/?From=%2B15550100"


class Settings(DatabaseSettings, MonitoringSettings):
    """The settings of `listener run`; read from the environment, then `.env.local`, then `.env`."""

    model_config = SettingsConfigDict(
        env_prefix="LISTENER_",
        env_file=(".env", ".env.local"),
        populate_by_name=True,  # in programs: Settings(supabase_url=…, secret_key=…)
        env_ignore_empty=True,  # compose files and shells pass unset variables on as empty texts
        extra="ignore",
    )

    supabase_url: HttpUrl = Field(validation_alias="SUPABASE_URL", description="The project's URL.")
    secret_key: SecretStr = Field(
        validation_alias=AliasChoices("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        description="`sb_secret_…` key, or the legacy service_role JWT.",
    )
    handlers: Annotated[list[str], NoDecode] = Field(
        default=["handlers"], description="Modules and packages that declare handlers, separated by commas."
    )
    concurrency: int = Field(default=2000, ge=1, le=100_000, description="Runs at a time in this listener.")
    tenant_share: float = Field(
        default=0.8,
        gt=0,
        lt=1,
        description="The part of the concurrency that a tenant or user may take; the service's own jobs may take all.",
    )
    thread_concurrency: int = Field(default=64, ge=1, le=1000, description="Plain handlers at a time.")
    process_concurrency: int = Field(default=2, ge=1, le=256, description='Handlers with run_in="process" at a time.')
    key_concurrency: int = Field(default=1, ge=1, description="Runs at a time of jobs that share a `concurrency_key`.")
    lease_seconds: float = Field(default=30, ge=1, le=3600, description="How long a claim is good without extension.")
    rescue_seconds: Seconds = Field(default=5, description="How often runs of dead listeners are looked for.")
    no_handler_seconds: Seconds = Field(
        default=3600, description="How long a due job waits for a listener that has its handler."
    )
    run_restored: bool = Field(
        default=False, description="Run the jobs of a database that was restored from a dump without a confirmation."
    )
    horizon_seconds: float = Field(
        default=300, ge=5, le=86400 * 366, description="How far ahead jobs are kept in memory."
    )
    horizon_jobs: int = Field(
        default=50_000, ge=100, description="How many jobs are kept in memory; of more, each tenant keeps a share."
    )
    claim_ahead_seconds: float = Field(
        default=0.25, ge=0, le=5, description="How long before its time a job is claimed."
    )
    batch_size: int = Field(default=1000, ge=1, le=1000, description="Jobs in one request.")
    poll_seconds: Seconds = Field(default=5, description="How often changes are polled while Realtime delivers them.")
    stale_poll_seconds: Seconds = Field(default=1, description="How often changes are polled while it does not.")
    relist_seconds: Seconds = Field(default=60, description="How often all jobs within the horizon are read anew.")
    drain_seconds: float = Field(default=20, ge=0, le=86400, description="How long runs may finish after SIGTERM.")
    cleanup_after_days: float = Field(
        default=7, gt=0, le=36600, description="Age at which finished jobs and ledger rows go."
    )
    channels: Annotated[list[Literal["notify", "broadcast", "postgres_changes"]], NoDecode] = Field(
        default=["broadcast", "postgres_changes"],
        description="Realtime features to listen on, and `notify` with a database URL; `none` for polling alone.",
    )
    probe_seconds: float = Field(
        default=82,
        ge=0,
        le=3600,
        description="How long a channel may be silent before a probe checks it; 0 sends no probes.",
    )
    notifications_per_minute: float = Field(
        default=6,
        ge=0,
        le=100_000,
        description="How many changes a minute Realtime may notify of for long; 0: any number.",
    )
    muted_poll_seconds: Seconds = Field(
        default=0.05, description="How often changes are polled while more change than Realtime may notify of."
    )
    http_bind: str = Field(default="127.0.0.1:8787", description="host:port of /livez, /readyz and /metrics.")
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=[], description="Names under which the HTTP port is reached, beside localhost and its own address."
    )
    allowed_origins: Annotated[list[str], NoDecode] = Field(
        default=[], description="Origins whose pages may ask for `/api/preview`, such as `https://app.example.com`."
    )
    publishable_key: str | None = Field(
        default=None,
        validation_alias=AliasChoices("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"),
        description="`sb_publishable_…` key, or the legacy anon JWT: what /dashboard/ gives to browsers.",
    )
    dashboard_supabase_url: HttpUrl | None = Field(
        default=None, description="The project's URL for browsers, where it is not `SUPABASE_URL`."
    )
    debug: bool = Field(default=False, description="Serve /debug/scheduler.")
    log_format: Literal["console", "json"] = Field(default="console", description="For people, or one object a line.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    webhook_allow_private: bool = Field(default=False, description="Let `webhook` and alerts reach private addresses.")
    smtp_url: SecretStr | None = Field(
        default=None, description="The mail server of `email`: `smtp://user:password@host:587`."
    )
    smtp_from: str | None = Field(
        default=None, description="The sender of mail, such as `Jobs <jobs@example.com>`; else the server's user."
    )
    sms_url: Annotated[SecretStr, matching(URL, PROVIDER)] | None = Field(
        default=None, description="The provider of `sms`: `https://SID:TOKEN@api.twilio.com/?From=%2B15550100`."
    )
    template_folder: str | None = Field(default=None, description="The folder of the templates of `email`.")
    database_functions: Annotated[list[str], NoDecode] = Field(
        default=[], description="The functions that `database_function` may call, separated by commas."
    )
    notification_channels: dict[str, SecretStr] = Field(
        default={}, description='Names and Apprise URLs of the channels of `notification`: `{"ops": "slack://…"}`.'
    )
    meetings: bool = Field(
        default=True,
        validation_alias="ENABLE_MEETING_STATUS_UPDATES",
        description="Turn meetings from upcoming to done when they end.",
    )

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in ("handlers", "channels", "allowed_hosts", "allowed_origins", "database_functions"):
            if isinstance(values.get(name), str):
                values[name] = [part.strip() for part in values[name].split(",") if part.strip()]
        if values.get("channels") == ["none"]:
            values["channels"] = []
        if values.get("database_url"):
            values.setdefault("channels", ["notify", "broadcast", "postgres_changes"])
        return values

    @field_validator("channels")
    @classmethod
    def _check_channels(cls, channels: list[str], info: ValidationInfo) -> list[str]:
        if "notify" in channels and info.data.get("database_url", ...) is None:
            message = "notify needs LISTENER_DATABASE_URL"
            raise ValueError(message)
        return channels

    @field_validator("secret_key")
    @classmethod
    def _check_key(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value().strip()
        why_not = key_fault(text)
        if why_not:
            raise ValueError(why_not)
        return SecretStr(text)

    @field_validator("publishable_key")
    @classmethod
    def _check_publishable_key(cls, key: str | None) -> str | None:
        key = key and key.strip()
        if key and (why_not := publishable_key_fault(key)):
            raise ValueError(why_not)
        return key

    @field_validator("http_bind")
    @classmethod
    def _check_address(cls, address: str) -> str:
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal() and int(port) <= LAST_PORT):
            message = f"should be host:port, the port at most {LAST_PORT}"
            raise ValueError(message)
        return address

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, hosts: list[str]) -> list[str]:
        if not all(HOST.fullmatch(host) for host in hosts):
            message = "should be names or addresses without scheme, port and path, such as listener.internal"
            raise ValueError(message)
        return hosts

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, origins: list[str]) -> list[str]:
        if not all(ORIGIN.fullmatch(origin) for origin in origins):
            message = "should be origins without a path, such as https://app.example.com"
            raise ValueError(message)
        return [origin.lower() for origin in origins]

    @field_validator("smtp_url")
    @classmethod
    def _check_mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            MailServer.of(url.get_secret_value())
        return url

    @field_validator("template_folder")
    @classmethod
    def _check_folder(cls, folder: str | None) -> str | None:
        if folder is not None and not Path(folder).is_dir():
            message = "should be a folder that is there"
            raise ValueError(message)
        return folder

    @property
    def secrets(self) -> list[str]:
        """The values that no text of this process may show."""
        given = (self.smtp_url, self.sms_url, self.heartbeat_url, self.database_url)
        urls = [url.get_secret_value() for url in given if url is not None]
        passwords = [unquote(urlsplit(url).password or "") for url in urls]
        channels = [url.get_secret_value().partition("://")[2] for url in self.notification_channels.values()]
        return [self.secret_key.get_secret_value(), *passwords, *channels, *self.monitoring_secrets]

    @property
    def handler_options(self) -> dict[str, Any]:
        """The settings that handlers read in `job.options`."""
        return {
            "webhook_allow_private": self.webhook_allow_private,
            "smtp_url": self.smtp_url and self.smtp_url.get_secret_value(),
            "smtp_from": self.smtp_from,
            "sms_url": self.sms_url and self.sms_url.get_secret_value(),
            "template_folder": self.template_folder,
            "database_functions": frozenset(self.database_functions),
            "notification_channels": {name: url.get_secret_value() for name, url in self.notification_channels.items()},
        }

    @property
    def url(self) -> str:
        """The project's URL without a trailing slash."""
        return str(self.supabase_url).rstrip("/")

    @property
    def browser_url(self) -> str:
        """The project's URL for browsers, without a trailing slash and without a password."""
        return re.sub("//[^/]*@", "//", str(self.dashboard_supabase_url or self.supabase_url)).rstrip("/")

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port of the service's own HTTP server."""
        host, _, port = self.http_bind.rpartition(":")
        return host, int(port)


def read_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: one line for each missing or malformed setting.
    """
    try:
        return Settings()
    except ValidationError as invalid:
        raise SettingsError([fault_line(fault, _variable) for fault in invalid.errors()]) from None


def setting_names() -> dict[str, tuple[str, Any, str]]:
    """Return every setting by its variable: its name, its default (`...` where it is required), and its description."""
    described = {}
    parts = DatabaseSettings.model_fields.keys() | MonitoringSettings.model_fields.keys()
    for name, field in sorted(Settings.model_fields.items(), key=lambda each: each[0] in parts):
        default = ... if field.is_required() else field.default
        described[_variable(name)] = (name, default, field.description or "")
    return described


def _variable(name: str) -> str:
    field = Settings.model_fields.get(name)
    alias = field.validation_alias if field else None
    if isinstance(alias, AliasChoices):
        return " or ".join(str(choice) for choice in alias.choices)
    return str(alias) if alias else f"LISTENER_{name.upper()}"
