"""Carries out plans: on a stock `Client`, which blocks, and on a stock `AsyncClient`, which is awaited.

Plans make all decisions of a scheduler; this module only sends requests and waits for answers.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import anyio
import httpx
import sniffio
from postgrest import APIError
from supabase import AsyncClient, Client

from listener.client.errors import Unreachable, fault_of
from listener.client.models import NoAnswer
from listener.client.requests import Call, Delete, Insert, Pause, Select, Update

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from listener.client.columns import Defaults
    from listener.client.errors import JobFault
    from listener.client.requests import Plan, Request

T = TypeVar("T")
P = ParamSpec("P")
C = TypeVar("C", bound=Client | AsyncClient)


def build(client: Client | AsyncClient, request: Request) -> Any:  # noqa: ANN401 - one of postgrest's builders
    """Build a request with the client's methods; `execute`, which alone differs between the two clients, sends it."""
    if isinstance(request, Call):
        return client.rpc(request.function, dict(request.arguments))
    assert not isinstance(request, Pause), "a pause is not for the database"  # noqa: S101 - narrows the type
    table = client.table(request.table)
    if isinstance(request, Insert):
        return table.insert(dict(request.row))
    if isinstance(request, Update):
        return table.update(dict(request.values)).eq("id", request.id)
    if isinstance(request, Delete):
        return table.delete().eq("id", request.id)
    return _select(table.select("*"), request)


def _select(query: Any, request: Select) -> Any:  # noqa: ANN401 - one of postgrest's builders
    for column, value in request.where.items():
        query = query.is_(column, "null") if value is None else query.eq(column, value)
    if request.after is not None:
        query = query.gt(*request.after)
    query = query.order(request.order, desc=request.descending)
    return query if request.limit is None else query.limit(request.limit)


class Course(Generic[T]):
    """A plan in progress: iterate over its requests, and answer each in a `with course.answering():`."""

    result: T

    def __init__(self, plan: Plan[T]) -> None:
        self._plan = plan
        self._fault: JobFault | None = None
        self.answer: Any = None

    def __iter__(self) -> Iterator[Request]:
        """Yield each request; raises what the plan raises."""
        try:
            request = next(self._plan)
            while True:
                yield request
                request = self._go_on()
        except StopIteration as done:
            self.result = done.value

    def _go_on(self) -> Request:
        fault, self._fault = self._fault, None
        return self._plan.throw(fault) if fault else self._plan.send(self.answer)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Translate the client's exceptions, and raise them in the plan."""
        try:
            yield
        except APIError as error:
            self._fault = fault_of(error)
            self._fault.__cause__ = error
        except httpx.HTTPError as error:
            self._fault = Unreachable(f"{type(error).__name__}: {error}")
            self._fault.__cause__ = error


def run_blocking(client: Client, plan: Plan[T]) -> T:
    """Carry out a plan; raises what the plan raises."""
    course = Course(plan)
    for request in course:
        with course.answering():
            if isinstance(request, Pause):
                time.sleep(request.seconds)
            else:
                course.answer = build(client, request).execute().data
    return course.result


async def run_async(client: AsyncClient, plan: Plan[T]) -> T:
    """Carry out a plan; raises what the plan raises."""
    course = Course(plan)
    for request in course:
        with course.answering():
            if isinstance(request, Pause):
                await anyio.sleep(request.seconds)
            else:
                course.answer = (await build(client, request).execute()).data
    return course.result


def _is_on_a_loop() -> bool:
    """Whether the caller may be about to await the answer."""
    try:
        return bool(sniffio.current_async_library())
    except sniffio.AsyncLibraryNotFoundError:
        return False


class Caller(Generic[C]):
    """An object whose operations use `client`, which decides whether they return answers or awaitables."""

    def __init__(self, client: C, own: Defaults) -> None:
        self._client, self._own = client, own

    @property
    def client(self) -> C:
        """The client."""
        return self._client

    @property
    def own(self) -> Defaults:
        """The columns that are added to each job."""
        return self._own

    def carry_out(self, plan: Plan[T]) -> Any:  # noqa: ANN401 - T or an awaitable of it, which `operation` distinguishes
        """Carry out a plan, blocking or asynchronously, as the client does."""
        client: Client | AsyncClient = self.client
        if isinstance(client, AsyncClient):
            return run_async(client, plan)
        answer = run_blocking(client, plan)
        return NoAnswer() if answer is None and _is_on_a_loop() else answer


class operation(Generic[P, T]):  # noqa: N801 - it stands where a method would
    """A plan as a method of a caller: each operation is written once, for both clients."""

    def __init__(self, plan: Callable[Concatenate[Defaults, P], Plan[T]]) -> None:
        self.plan = plan
        functools.update_wrapper(self, plan)  # type: ignore[arg-type] # it is for help() and pages of documentation

    @overload
    def __get__(self, caller: None, owner: type | None = None) -> operation[P, T]: ...
    @overload
    def __get__(self, caller: Caller[Client], owner: type | None = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, caller: Caller[AsyncClient], owner: type | None = None) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, caller: Any, owner: type | None = None) -> Any:
        """Bind to a caller."""
        if caller is None:
            return self

        @functools.wraps(self.plan)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - see Caller.carry_out
            return caller.carry_out(self.plan(caller.own, *args, **kwargs))

        return call
