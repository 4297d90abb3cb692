"""Words a missing or malformed setting as one line, which shows no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.masking.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = frozenset(
    {
        "secret_key",
        "publishable_key",
        "database_url",
        "smtp_url",
        "sms_url",
        "notification_channels",
        "heartbeat_url",
        "otlp_headers",
    }
)
"""Settings whose malformed values are not shown either."""
ALIASES = {
    "SUPABASE_URL": "SUPABASE_URL",
    "SUPABASE_SECRET_KEY": "SUPABASE_SECRET_KEY or SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_PUBLISHABLE_KEY": "SUPABASE_PUBLISHABLE_KEY or SUPABASE_ANON_KEY",
    "ENABLE_MEETING_STATUS_UPDATES": "ENABLE_MEETING_STATUS_UPDATES",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS": "OTEL_EXPORTER_OTLP_HEADERS",
}
"""Variables that are not called after their settings, as pydantic names them."""


def fault_line(fault: Any, variable_of: Callable[[str], str]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """Describe a fault with the variable's name; `variable_of` gives the variable of a setting."""
    name = str(fault["loc"][0]) if fault["loc"] else "settings"
    variable = ALIASES.get(name) or variable_of(name.lower().removeprefix("listener_"))
    if fault["type"] == "missing":
        return f"{variable} is not set"
    message = fault["msg"].removeprefix("Value error, ")
    shown = "" if variable in map(variable_of, SECRET) else f" (it is {redact_text(repr(fault.get('input')))})"
    return f"{variable}: {message[:1].lower()}{message[1:]}{shown}"
