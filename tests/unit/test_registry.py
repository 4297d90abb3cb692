"""Handlers are found by name, and whatever is wrong with one is said before the service starts."""

from __future__ import annotations

import inspect
import itertools
import sys
from typing import TYPE_CHECKING

import pytest
from shipped import SHIPPED

from listener import handler
from listener.errors import DuplicateHandlerError, HandlerImportError, InvalidHandlerError, InvalidValueError
from listener.handler_api.registry import MARK, Handler, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HEADER = (
    "from __future__ import annotations\nfrom pydantic import BaseModel\nfrom listener import JobContext, handler\n"
)
NUMBERS = itertools.count()


@pytest.fixture
def write_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a package of jobs that can be imported, and give its name; each has a name of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**modules: str) -> str:
        name = f"jobs_of_a_test_{next(NUMBERS)}"
        folder = tmp_path / name
        folder.mkdir()
        for module in {"__init__": "", **modules}:
            (folder / f"{module}.py").write_text(HEADER + {"__init__": "", **modules}[module])
        return name

    return write


def test_the_decorator_returns_the_function_unchanged_but_for_a_mark():
    """Calling a marked function in a test of its own is calling the function."""

    def greet(job: object) -> str:
        return f"hello {job}"

    assert handler("greet")(greet) is greet
    assert greet("you") == "hello you"
    assert [name for name in vars(greet) if name != MARK] == []


def test_a_package_is_loaded_with_its_submodules(write_package):
    """Naming a package is enough, however deep its handlers stand."""
    name = write_package(
        __init__='@handler("top")\ndef top(job): ...\n', below='@handler("sub")\nasync def sub(job): ...\n'
    )
    assert Registry.load([name]).names == ["sub", "top"]


def test_a_handler_is_called_as_its_function_when_it_is_given_no_name(write_package):
    """`@handler`, `@handler()` and a keyword alone all keep the function's name."""
    name = write_package(
        a="@handler\ndef one(job): ...\n@handler()\ndef two(job): ...\n@handler(timeout=3)\ndef three(job): ...\n"
    )
    assert Registry.load([name]).names == ["one", "three", "two"]


def test_loading_twice_or_importing_a_handler_elsewhere_is_no_duplicate(write_package):
    """One function that is reached by two ways is one handler."""
    name = write_package(a='@handler("x")\ndef x(job): ...\n', b="from .a import x\n")
    assert len(Registry.load([name, f"{name}.a", f"{name}.b"])) == 1


def test_a_projects_handler_stands_for_a_shipped_one_of_its_name(write_package):
    """In whatever order they are named."""
    name = write_package(a='@handler("email")\ndef mine(job): ...\n')
    for modules in (["handlers", name], [name, "handlers"]):
        registry = Registry.load(modules)
        assert registry.get("email").origin == f"{name}.a.mine"
        assert "sms" in registry.names


def test_two_functions_of_one_name_are_refused_with_both_places(write_package):
    """A handler that silently replaced another would run the wrong code."""
    name = write_package(a='@handler("x")\ndef first(job): ...\n', b='@handler("x")\ndef second(job): ...\n')
    with pytest.raises(DuplicateHandlerError, match=rf"'x' .* {name}\.a\.first .* {name}\.b\.second"):
        Registry.load([name])


@pytest.mark.parametrize(
    "source", ["import a_module_that_nobody_has", "1 / 0", "raise SystemExit(3)", "def broken(:", "handler(timeout=-1)"]
)
def test_a_module_that_does_not_import_is_named_with_the_cause(write_package, source):
    """Also one that ends the interpreter or does not parse."""
    name = write_package(bad=source + "\n")
    with pytest.raises(HandlerImportError, match=rf"handlers of {name}\.bad: the import failed with \w+") as raised:
        Registry.load([name])
    assert raised.value.__cause__ is raised.value.cause


def test_a_module_that_does_not_exist_is_named():
    """A slip in `LISTENER_HANDLERS` is reported, not skipped."""
    with pytest.raises(HandlerImportError, match=r"handlers of no_such_jobs: .*No module named 'no_such_jobs'"):
        Registry.load(["no_such_jobs"])


def test_the_main_module_of_a_package_is_not_run(write_package):
    """Importing `__main__` would start somebody's program."""
    name = write_package(__main__="raise SystemExit(1)\n", a="@handler\ndef x(job): ...\n")
    assert Registry.load([name]).names == ["x"]
    assert f"{name}.__main__" not in sys.modules


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@handler\ndef x(): ...", r"takes \(\); a handler takes \(job\) or \(job, payload\)"),
        ("@handler\ndef x(job, payload, more): ...", "a handler takes"),
        ("@handler\ndef x(job, *, payload): ...", "a handler takes"),
        ("@handler\ndef x(job):\n    yield 1", "is a generator"),
        ("@handler\nasync def x(job):\n    yield 1", "is a generator"),
        ("@handler(run_in='thread')\nasync def x(job): ...", "is async and cannot run in a thread"),
        ("@handler\ndef x(job, payload: Unknown): ...", r"annotation 'Unknown' of 'payload': .*import it for real"),
        ("class Odd: ...\n@handler\ndef x(job, payload: Odd): ...", r"payload annotation .*Odd"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused_with_module_and_name(write_package, source, complaint):
    """It is reported when the service starts, not when the first job is due."""
    name = write_package(a=source + "\n")
    with pytest.raises(InvalidHandlerError, match=rf"handler 'x' of {name}\.a: .*{complaint}"):
        Registry.load([name])


@pytest.mark.parametrize(
    ("keywords", "field"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"concurrency": 0}, "concurrency"),
        ({"run_in": "moon"}, "run_in"),
        ({"name": "  "}, "name"),
    ],
)
def test_an_invalid_option_is_refused_at_its_place(keywords, field):
    """The traceback points at the decorator."""
    with pytest.raises(InvalidValueError, match=field):
        handler(**keywords)


def test_the_job_may_be_annotated_with_what_only_type_checkers_import(write_package):
    """Linters move `JobContext` under `TYPE_CHECKING`, and `Mapping` too; both are common."""
    source = "@handler\ndef x(job: NotImported, payload: Mapping[str, Any]): ...\n"
    assert Registry.load([write_package(a=source)]).names == ["x"]


def test_a_wrapper_that_keeps_the_mark_is_the_handler(write_package):
    """Decorators above `@handler` apply, because `functools.wraps` carries the mark along."""
    source = (
        "import functools\n"
        "def loud(f):\n    @functools.wraps(f)\n"
        "    async def inner(*a):\n        return (await f(*a)).upper()\n    return inner\n"
        "class Hi(BaseModel):\n    who: str\n"
        "@loud\n@handler('hi')\nasync def hi(job, payload: Hi): return payload.who\n"
    )
    found = Registry.load([write_package(a=source)]).get("hi")
    assert found is not None
    assert found.mode == "loop"
    assert found.payload.schema()["required"] == ["who"]
    assert inspect.unwrap(found.function) is not found.function


def test_a_model_that_is_not_fully_defined_ends_the_start(write_package):
    """Not the first run: the message names handler and model."""
    source = "class Shelf(BaseModel):\n    book: 'Book'\n@handler('lend')\nasync def lend(job, payload: Shelf): ...\n"
    with pytest.raises(InvalidHandlerError, match=r"'lend'.*Shelf.*not fully defined"):
        Registry.load([write_package(a=source)])


def test_the_catalogue_has_a_row_for_each_handler(write_package):
    """Name, description, JSON schema and exposure are what `job_handlers` stores."""
    source = (
        "class Book(BaseModel):\n    title: str\n    pages: int = 1\n"
        "@handler('lend', exposed=True)\nasync def lend(job: JobContext, payload: Book):\n"
        "    '''Lend a book.\n\n    At length.\n    '''\n"
        "@handler('tidy', description='Tidies.')\ndef tidy(job):\n    '''Not this.'''\n"
    )
    lend, tidy = Registry.load([write_package(a=source)]).catalogue()
    assert (lend["name"], lend["description"], lend["exposed"]) == ("lend", "Lend a book.", True)
    assert lend["payload_schema"]["properties"]["title"]["type"] == "string"
    assert lend["payload_schema"]["required"] == ["title"]
    assert tidy == {
        "name": "tidy",
        "description": "Tidies.",
        "payload_schema": None,
        "exposed": False,
    }


def test_async_functions_run_on_the_loop_and_plain_ones_in_threads():
    """The mode follows from how the function is declared, unless it asks for a process."""

    async def on_loop(job): ...
    def in_thread(job): ...
    def in_process(job): ...

    modes = [
        Handler.of(mark(function)).mode
        for mark, function in [
            (handler(), on_loop),
            (handler(), in_thread),
            (handler(run_in="process"), in_process),
        ]
    ]
    assert modes == ["loop", "thread", "process"]


def test_the_handlers_that_ship_are_found():
    """`handlers` is the default of `LISTENER_HANDLERS`; a browser reaches those alone that can do no harm."""
    registry = Registry.load(["handlers"])
    assert registry.names == SHIPPED
    assert sorted(each.name for each in registry if each.exposed) == ["log", "noop"]
    assert all(each.description for each in registry)


@pytest.fixture
def own_handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder with a package `handlers` of a project's own, and forget the package afterwards."""
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "mine.py").write_text(HEADER + '@handler("mine")\ndef mine(job): ...\n')
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [each for each in sys.modules if each.partition(".")[0] == "handlers"]:
        del sys.modules[name]


@pytest.mark.parametrize("installed", [True, False], ids=["before the shipped", "in the working directory"])
@pytest.mark.parametrize("regular", [True, False], ids=["__init__.py", "no __init__.py"])
@pytest.mark.parametrize("named", [["handlers"], ["listener.handlers", "handlers"], ["handlers", "listener.handlers"]])
def test_own_handlers_and_the_shipped_ones_do_not_hide_each_other(own_handlers, monkeypatch, installed, regular, named):
    """Both are called `handlers` in the setting, wherever the project's package lies on the path."""
    if regular:
        (own_handlers / "handlers" / "__init__.py").touch()
    if installed:
        monkeypatch.syspath_prepend(str(own_handlers))
    else:
        monkeypatch.chdir(own_handlers)
    assert Registry.load(named).names == sorted([*SHIPPED, "mine"])


def test_the_shipped_handlers_and_ones_own_can_be_named_alone(own_handlers, monkeypatch):
    """A project may want one of them only."""
    monkeypatch.chdir(own_handlers)
    assert Registry.load(["handlers.mine"]).names == ["mine"]
    assert Registry.load(["listener.handlers"]).names == SHIPPED
