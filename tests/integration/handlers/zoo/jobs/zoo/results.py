"""Results that are none."""

from __future__ import annotations

import asyncio
from typing import Any

from listener import JobContext
from zoo import Visit, animal, process


class Unshowable:
    """Raises what ends a process when it is looked at."""

    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__


@animal(reason="invalid_result", error="not JSON")
async def returns_an_object(_job: JobContext, visit: Visit) -> object:
    visit.mark.touch()
    return object()


@animal(reason="invalid_result", error="not JSON")
async def returns_a_list_that_holds_itself(_job: JobContext, visit: Visit) -> list[Any]:
    visit.mark.touch()
    endless: list[Any] = []
    endless.append(endless)
    return endless


@animal(reason="invalid_result", error="has no end that could be known")
async def returns_numbers_without_end(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return {"numbers": iter(int, 1)}


@animal(reason="invalid_result", error="not JSON")
async def returns_what_raises_when_shown(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return {"value": Unshowable()}


@animal(reason="invalid_result", error="not JSON")
async def returns_keys_that_raise_when_shown(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return {Unshowable(): 1}


@animal(reason="invalid_result", error="not JSON")
async def returns_lists_in_lists_in_lists(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]
    return value


@animal("completed")
async def returns_lists_that_double(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    return value


@animal("completed")
async def returns_a_million_numbers(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return {"numbers": list(range(1_000_000))}


@animal(reason="invalid_result", error="too many digits")
async def returns_a_number_of_a_million_digits(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return 1 << 4_000_000


@animal(reason="invalid_result", error="async def")
def returns_a_coroutine(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return asyncio.sleep(0)


@animal("completed")
async def returns_half_a_gigabyte_of_nothing(_job: JobContext, visit: Visit) -> str:
    visit.mark.touch()
    return "\0" * 2_000_000


@animal(reason="invalid_result", error="not JSON", **process)
def returns_a_function_from_a_process(_job: JobContext, visit: Visit) -> Any:
    visit.mark.touch()
    return lambda: None
