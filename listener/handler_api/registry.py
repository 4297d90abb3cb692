"""Handlers by name: `@handler` marks a function, `Registry.load` collects the marked functions of modules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from listener.errors import DuplicateHandlerError, HandlerImportError, InvalidHandlerError, InvalidValueError
from listener.handler_api.payload import Payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

F = TypeVar("F", bound="Callable[..., Any]")
RunIn = Literal["thread", "process"]
Mode = Literal["loop", "thread", "process"]
MARK = "__listener_handler__"
SHIPPED = "listener.handlers"
HANDLERS = "handlers"
"""Names, in `LISTENER_HANDLERS`, the shipped handlers and a module or package `handlers` of the project's own."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """The arguments of `@handler(…)`; None where the default holds."""

    name: str | None = None
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    exposed: bool = False
    run_in: RunIn | None = None
    concurrency: int | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        """Refuse invalid values, at their place in the source."""
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise InvalidValueError(field="timeout", value=self.timeout_seconds, allowed="seconds, more than 0")
        for field in ("max_attempts", "concurrency"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise InvalidValueError(field, value, "a number of at least 1")
        if self.run_in not in {None, "thread", "process"}:
            raise InvalidValueError(field="run_in", value=self.run_in, allowed='None, "thread" or "process"')
        if self.name is not None and not self.name.strip():
            raise InvalidValueError(field="name", value=self.name, allowed="a name that is not empty")


@overload
def handler(name: F) -> F: ...
@overload
def handler(
    name: str | None = None,
    *,
    timeout: float | None = None,
    max_attempts: int | None = None,
    exposed: bool = False,
    run_in: RunIn | None = None,
    concurrency: int | None = None,
    description: str | None = None,
) -> Callable[[F], F]: ...
def handler(  # noqa: PLR0913 - each argument is one keyword of the public decorator
    name: str | F | None = None,
    *,
    timeout: float | None = None,
    max_attempts: int | None = None,
    exposed: bool = False,
    run_in: RunIn | None = None,
    concurrency: int | None = None,
    description: str | None = None,
) -> F | Callable[[F], F]:
    """Mark a function as a handler; it is returned unchanged, and nothing else is touched.

    Args:
        name: the name in `scheduled_jobs.handler`; the function's own name when absent.
        timeout: seconds; the smaller of this and the job's own holds.
        max_attempts: the smaller of this and the job's own holds.
        exposed: whether signed-in users may schedule it; the service role always may.
        run_in: `"thread"` (what a plain function does anyway) or `"process"`; an async function runs on the loop.
        concurrency: how many runs of it may go on at a time in one listener.
        description: for people; the docstring's first line when absent.

    Raises:
        InvalidValueError: for an invalid value.
    """
    if callable(name):
        setattr(name, MARK, Declaration())
        return name
    declaration = Declaration(name, timeout, max_attempts, exposed, run_in, concurrency, description)

    def mark(function: F) -> F:
        setattr(function, MARK, declaration)
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that runs jobs, with the facts that the executor and the catalogue need."""

    name: str
    function: Callable[..., Any]
    mode: Mode
    is_async: bool
    payload: Payload
    timeout_seconds: float | None
    max_attempts: int | None
    exposed: bool
    concurrency: int | None
    description: str

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Handler:
        """Return the handler of a marked function.

        Raises:
            InvalidHandlerError: when the function does not have a handler's signature.
        """
        declared: Declaration = getattr(function, MARK)
        name = declared.name or function.__name__
        try:
            payload, is_async = Payload(function), _is_async(function)
            mode = _mode(is_async=is_async, run_in=declared.run_in)
        except (TypeError, NameError) as error:  # from Python 3.14 on, a signature may meet a name that is not there
            raise InvalidHandlerError(function.__module__, name, str(error)) from error
        return cls(
            name=name,
            function=function,
            mode=mode,
            is_async=is_async,
            payload=payload,
            timeout_seconds=declared.timeout_seconds,
            max_attempts=declared.max_attempts,
            exposed=declared.exposed,
            concurrency=declared.concurrency,
            description=declared.description or (inspect.getdoc(function) or "").partition("\n")[0],
        )

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with the service."""
        return str(self.function.__module__).startswith(f"{SHIPPED}.")

    @property
    def origin(self) -> str:
        """The place of the function, for messages: `module.function`."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


class Registry:
    """Handlers by name, fixed once built. A project's handler stands for a shipped one of the same name.

    Raises:
        DuplicateHandlerError: when two different functions of the project share a name.
    """

    def __init__(self, handlers: Iterable[Handler] = ()) -> None:
        self._handlers: dict[str, Handler] = {}
        for each in handlers:
            known = self._handlers.setdefault(each.name, each)
            if known.is_shipped:
                self._handlers[each.name] = each
            elif known.function is not each.function and not each.is_shipped:
                raise DuplicateHandlerError(each.name, known.origin, each.origin)

    @classmethod
    def load(cls, modules: Iterable[str]) -> Registry:
        """Import modules, with the submodules of packages, and collect the functions that they mark.

        Modules are also found in the working directory, after all that is installed. `handlers` stands for the shipped
        ones and for a module or package `handlers` of the project, if it has one.

        Raises:
            HandlerImportError: when a module does not import.
            InvalidHandlerError: when a marked function cannot be a handler.
            DuplicateHandlerError: when two different functions share a name.
        """
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        found = (function for name in modules for module in _named(name) for function in _marked(module))
        return cls(Handler.of(function) for function in found)

    @classmethod
    def of(cls, handlers: Iterable[Callable[..., Any] | str]) -> Registry:
        """Collect marked functions, and those of named modules; raises what `load` raises."""
        given = list(handlers)
        functions = [Handler.of(each) for each in given if not isinstance(each, str)]
        return cls([*functions, *cls.load(each for each in given if isinstance(each, str))])

    def get(self, name: str) -> Handler | None:
        """Return the handler of that name, or None."""
        return self._handlers.get(name)

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._handlers)

    def __iter__(self) -> Iterator[Handler]:
        """Iterate over the handlers, in the order in which they were found."""
        return iter(self._handlers.values())

    def __len__(self) -> int:
        """Count the handlers."""
        return len(self._handlers)

    def catalogue(self) -> list[dict[str, Any]]:
        """Return the rows of `job_handlers`: `name`, `description`, `payload_schema` (None: anything) and `exposed`."""
        return [
            {
                "name": each.name,
                "description": each.description,
                "payload_schema": each.payload.schema(),
                "exposed": each.exposed,
            }
            for each in self
        ]


def _named(name: str) -> Iterator[ModuleType]:
    if name == HANDLERS:
        yield from _walk(SHIPPED)
        if find_spec(HANDLERS) is None:
            return
    yield from _walk(name)


def _walk(name: str) -> Iterator[ModuleType]:
    module = _import(name)
    yield module
    for entry in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        if not entry.name.endswith(".__main__"):  # importing it would run the package
            yield from _walk(entry.name)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise HandlerImportError(name, error) from error


def _marked(module: ModuleType) -> Iterator[Callable[..., Any]]:
    """Return the marked functions that this module defines; an imported one belongs to its own module."""
    for member in vars(module).values():
        if inspect.isfunction(member) and hasattr(member, MARK) and member.__module__ == module.__name__:
            yield member


def _is_async(function: Callable[..., Any]) -> bool:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        message = "is a generator; a handler returns one result"
        raise TypeError(message)
    return inspect.iscoroutinefunction(function)


def _mode(*, is_async: bool, run_in: RunIn | None) -> Mode:
    if is_async and run_in == "thread":
        message = 'is async and cannot run in a thread; leave run_in out, or declare it with a plain "def"'
        raise TypeError(message)
    return run_in or ("loop" if is_async else "thread")
