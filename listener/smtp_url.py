"""The operator's mail server, as the URL in `LISTENER_SMTP_URL` names it."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}
STARTTLS = {"auto": None, "always": True, "never": False}
ALLOWED = (
    "should be smtp://user:password@host:587 or smtps://user:password@host:465, with ?starttls=auto, always or never"
)


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in; `start_tls` is None where the server's offer decides."""

    host: str
    port: int
    user: str | None
    password: str | None
    use_tls: bool
    start_tls: bool | None

    @classmethod
    def of(cls, url: str) -> Self:
        """Read a URL: `smtp://user:password@host:587`, `smtps://…:465`, `smtp://host:25?starttls=never`.

        Raises:
            ValueError: when it is none; the error does not show the URL, which holds a password.
        """
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        start_tls = options.pop("starttls", "auto")
        if parts.scheme not in PORTS or not parts.hostname or options or start_tls not in STARTTLS:
            raise ValueError(ALLOWED)
        use_tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or PORTS[parts.scheme],
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=use_tls,
            start_tls=False if use_tls else STARTTLS[start_tls],
        )

    def sender(self) -> str:
        """Return the address that mail is from, where no other is set: the user's, or `jobs@` the server's name."""
        user = self.user or ""
        if "@" in parseaddr(user)[1]:
            return user
        try:
            ip_address(self.host)
        except ValueError:
            return f"jobs@{self.host}"
        return "jobs@localhost"
