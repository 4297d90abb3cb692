"""A handler of somebody's own."""

from pydantic import BaseModel

from listener import JobContext, handler


class Guest(BaseModel):
    name: str


@handler("greet")
async def greet(job: JobContext, payload: Guest) -> dict[str, str]:
    """Greet a guest."""
    return {"greeting": f"hello, {payload.name}"}
