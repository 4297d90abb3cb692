"""Handlers that do with a secret what handlers do by mistake."""

from __future__ import annotations

import logging
from typing import Self

from pydantic import BaseModel, SecretStr, model_validator

from listener import JobContext, handler


class Login(BaseModel):
    """A user, a password, and the place where they sign in."""

    user: str
    password: SecretStr
    how: str = "well"

    @model_validator(mode="after")
    def _know(self) -> Self:
        if self.user == "nobody":
            message = f"nobody signs in with {self.password.get_secret_value()}"
            raise ValueError(message)
        return self


@handler("sign_in")
async def sign_in(job: JobContext, payload: Login) -> dict[str, object]:
    """Log and return the password everywhere."""
    password = payload.password.get_secret_value()
    job.log.info(f"signing in with {password}", row=job.row)  # noqa: G004 - what people write
    logging.getLogger("somebody").warning("password %s", password)
    await job.progress(0.5, f"tried {password}")
    if payload.how == "badly":
        message = f"401 for {payload.user}:{password}"
        raise ValueError(message)
    return {"user": payload.user, "with": password}


@handler("powerful")
async def powerful(job: JobContext) -> str:
    """Do what only the service may."""
    return "done"


@handler("harmless", exposed=True)
async def harmless(job: JobContext) -> str:
    """Do what everybody may."""
    return "done"
