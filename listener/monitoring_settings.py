"""The settings by which others watch a listener: a monitor of pings, a collector of traces and metrics."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import Field, HttpUrl, SecretStr, field_validator
from pydantic_settings import BaseSettings

MONITOR = re.compile(r"https?://[^\s/?#]+(/[^\s#]*)?(\?[^\s#]*)?$")
HEADERS = re.compile(r"\s*[^\s=,]+\s*=[^,\r\n]*(,\s*[^\s=,]+\s*=[^,\r\n]*)*")
KEY_CHARACTERS = 12
"""A path or a header that is as long as this may be a key; a shorter one is a word that other lines may have."""
Seconds = Annotated[float, Field(gt=0, le=86400 * 366)]


class MonitoringSettings(BaseSettings):
    """The part of `listener.settings.Settings` that no job depends on."""

    heartbeat_url: SecretStr | None = Field(
        default=None, description="Pinged while the listener is ready: `https://hc-ping.com/your-uuid`."
    )
    heartbeat_seconds: Seconds = Field(default=60, description="How often `LISTENER_HEARTBEAT_URL` is pinged.")
    otlp_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Where traces and metrics go by OTLP over HTTP: `http://collector:4318`; needs the extra `otel`.",
    )
    otlp_headers: SecretStr | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_HEADERS",
        description="Headers of these requests: `api-key=…,tenant=…`, values URL-encoded.",
    )

    @field_validator("heartbeat_url")
    @classmethod
    def _check_monitor(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not MONITOR.match(url.get_secret_value()):
            message = "should be an http or https URL, such as https://hc-ping.com/your-uuid"
            raise ValueError(message)
        return url

    @field_validator("otlp_headers")
    @classmethod
    def _check_headers(cls, headers: SecretStr | None) -> SecretStr | None:
        if headers is not None and not HEADERS.fullmatch(headers.get_secret_value()):
            message = "should be name=value pairs, separated by commas"
            raise ValueError(message)
        return headers

    @property
    def headers_of_otlp(self) -> dict[str, str]:
        """The headers of requests to the collector, by lower-case names."""
        pairs = self.otlp_headers.get_secret_value().split(",") if self.otlp_headers else []
        named = [pair.partition("=") for pair in pairs]
        return {name.strip().lower(): unquote(value.strip()) for name, _, value in named}

    @property
    def monitoring_secrets(self) -> list[str]:
        """The values here that no text of this process may show."""
        path = urlsplit(self.heartbeat_url.get_secret_value()).path.strip("/") if self.heartbeat_url else ""
        return [text for text in (path, *self.headers_of_otlp.values()) if len(text) >= KEY_CHARACTERS]
