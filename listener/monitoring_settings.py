"""The settings by which others watch a listener: a monitor of pings, a collector of traces and metrics."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings

URL = re.compile(r"https?://[^\s/?#]+(/[^\s#]*)?(\?[^\s#]*)?")
HEADERS = re.compile(r"\s*[^\s=,]+\s*=[^,\r\n]*(,\s*[^\s=,]+\s*=[^,\r\n]*)*")
KEY_CHARACTERS = 12
"""A path or a header that is as long as this may be a key; a shorter one is a word that other lines may have."""
MONITOR = "an http or https URL, such as https://hc-ping.com/your-uuid"


def matching(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    """Return a validator of secrets that match a pattern in full; its error shows what is expected, not the secret."""

    def check(secret: SecretStr) -> SecretStr:
        if not pattern.fullmatch(secret.get_secret_value()):
            message = f"should be {expected}"
            raise ValueError(message)
        return secret

    return AfterValidator(check)


Seconds = Annotated[float, Field(gt=0, le=86400 * 366)]


class MonitoringSettings(BaseSettings):
    """The part of `listener.settings.Settings` that no job depends on."""

    heartbeat_url: Annotated[SecretStr, matching(URL, MONITOR)] | None = Field(
        default=None, description="Pinged while the listener is ready: `https://hc-ping.com/your-uuid`."
    )
    heartbeat_seconds: Seconds = Field(default=60, description="How often `LISTENER_HEARTBEAT_URL` is pinged.")
    otlp_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Where traces and metrics go by OTLP over HTTP: `http://collector:4318`; needs the extra `otel`.",
    )
    otlp_headers: Annotated[SecretStr, matching(HEADERS, "name=value pairs, separated by commas")] | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_HEADERS",
        description="Headers of these requests: `api-key=…,tenant=…`, values URL-encoded.",
    )

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
