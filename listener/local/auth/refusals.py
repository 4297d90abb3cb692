"""The refusals of Supabase Auth, in both of its forms: a client names in a header the one that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.requests import Request

VERSION_HEADER = "X-Supabase-Api-Version"
CODES_SINCE = "2024-01-01"
"""From this version on `code` is the error's name; before, it is the HTTP status, and `error_code` is the name."""
WEAK_PASSWORD = "weak_password"  # noqa: S105 - the name of an error


class AuthError(Exception):
    """A request that is refused.

    Args:
        status: the HTTP status.
        code: the error's name, as in Supabase's documentation.
        message: for people.
        reasons: what a password lacks.
    """

    def __init__(self, status: int, code: str, message: str, reasons: tuple[str, ...] = ()) -> None:
        self.status, self.code, self.message, self.reasons = status, code, message, reasons
        super().__init__(message)


def refuse(request: Request, fault: AuthError) -> JSONResponse:
    """Return the answer for `fault`, in the form that the client reads."""
    more: dict[str, Any] = {"weak_password": {"reasons": list(fault.reasons)}} if fault.reasons else {}
    headers = {"x-sb-error-code": fault.code}
    if request.headers.get(VERSION_HEADER, "") >= CODES_SINCE:
        body: dict[str, Any] = {"code": fault.code, "message": fault.message, **more}
        headers[VERSION_HEADER] = CODES_SINCE
    else:
        body = {"code": fault.status, "error_code": fault.code, "msg": fault.message, **more}
    return JSONResponse(body, fault.status, headers)
