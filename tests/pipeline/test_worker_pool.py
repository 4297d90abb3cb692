"""A worker process serves many runs, and none of them reaches the next, nor the way to the listener."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest
from patience import until

from listener.clock import DatabaseClock
from listener.domain.outcome import Completed, Failed
from listener.execution.executor import Executor, Limits
from listener.handler_api.registry import Registry
from listener.testing import make_run

JOBS = """
import decimal, locale, os, signal, subprocess, sys, threading, time
from contextvars import ContextVar
from listener import handler

COLOUR = ContextVar("colour", default="none")

def state():
    return {
        "colour": COLOUR.get(),
        "precision": decimal.getcontext().prec,
        "folder": os.getcwd(),
        "environment": os.environ.get("STAINED"),
        "mask": os.umask(0o022),
        "alarm": signal.getsignal(signal.SIGALRM) == signal.SIG_DFL,
        "timer": signal.getitimer(signal.ITIMER_REAL)[0],
        "stdout": sys.stdout is sys.__stdout__,
        "recursion": sys.getrecursionlimit(),
        "pid": os.getpid(),
    }

@handler("look", run_in="process")
def look(job):
    return state()

@handler("stain", run_in="process")
def stain(job):
    COLOUR.set("red")
    decimal.getcontext().prec = 3
    os.chdir("/")
    os.environ["STAINED"] = "yes"
    os.umask(0o077)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    sys.stdout = open(os.devnull, "w")
    sys.setrecursionlimit(10_000)
    return os.getpid()

@handler("act", run_in="process")
def act(job, payload):
    print("begun")
    exec(payload["what"])
    return os.getpid()
"""


@pytest.fixture
async def run(tmp_path, monkeypatch):
    """Run a handler in the one worker process that there is."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "jobs_in_one_process.py").write_text(JOBS)
    registry = Registry.load(["jobs_in_one_process"])
    executor = Executor(registry, DatabaseClock(), lambda: None, limits=Limits(processes=1))

    async def execute(name, what="", **changes):
        report = await executor.execute(executor.prepare(make_run(name, {"what": what}, **changes)))
        return report.outcome, [line.message for line in report.logs]

    yield execute
    await executor.aclose()
    sys.modules.pop("jobs_in_one_process", None)


async def test_no_run_finds_what_another_has_left_in_the_process(run):
    """Context, decimal context, folder, environment, mask, signals, timers and streams are as they were."""
    before, _ = await run("look")
    stained, _ = await run("stain")
    after, _ = await run("look")
    assert isinstance(stained, Completed)
    assert stained.result == after.result["pid"], "it was the same process"
    assert after == before


@pytest.mark.parametrize(
    ("what", "reported"),
    [
        ("print('hello')", ["hello"]),
        ("print('bad', file=sys.stderr)", ["bad"]),
        ("subprocess.run(['echo', 'from a child'])", ["from a child"]),
        ("subprocess.run('echo one; echo two >&2', shell=True)", ["one", "two"]),
        ("os.write(1, b'RETURN 5\\n12345')", ["RETURN 5", "12345"]),
        ("print(sys.stdin.read())", []),
        ("subprocess.run(['cat'])", []),
        ("job.log.info('logged')", ["logged"]),
        ("sys.__stdout__.buffer.write(b'\\xff\\n')", ["\ufffd"]),
    ],
)
async def test_what_is_printed_is_in_the_runs_log(run, what, reported):
    """By the handler, and by what it starts; the way to the listener has descriptors of its own."""
    outcome, messages = await run("act", what)
    assert isinstance(outcome, Completed)
    assert sorted(messages) == sorted(["begun", *reported])
    assert (await run("act"))[1] == ["begun"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("print('last words'); os._exit(9)", "the worker process ended with code 9"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the worker process was killed by SIGKILL"),
        ("os.closerange(3, 1000); time.sleep(0.1)", "the worker process"),
        ("os.fork() or time.sleep(60); os._exit(3)", "the worker process ended with code 3"),
    ],
)
async def test_a_worker_that_dies_says_how_and_the_next_is_new(run, what, error):
    """Also one whose children hold its socket; what it printed before is kept."""
    with anyio.fail_after(20):
        outcome, messages = await run("act", what)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "worker_died"
    assert error in outcome.error
    assert messages == ["begun", *(["last words"] if "last" in what else [])]
    assert isinstance((await run("look"))[0], Completed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    [
        "os.close(1)",
        "os.close(0); os.close(1); os.close(2)",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
    ],
)
async def test_a_worker_without_its_output_is_replaced(run, what):
    """Its answer counts all the same."""
    first, _ = await run("act", what)
    second, messages = await run("act")
    assert isinstance(first, Completed)
    assert second.result != first.result
    assert messages == ["begun"]


async def test_a_child_that_comes_back_from_a_handler_does_not_answer(run):
    """It is the same program, in the same place, with the same socket."""
    first, _ = await run("act", "os.fork()")
    second, _ = await run("act")
    assert isinstance(first, Completed)
    assert second == first


@pytest.mark.slow
async def test_a_flood_does_not_hold_up_the_loop_and_is_cut(run):
    """The handler goes on; most of what it prints is not kept, and the loop turns meanwhile."""
    lags: list[float] = []

    async def watch():
        while True:
            since = anyio.current_time()
            await anyio.sleep(0.001)
            lags.append(anyio.current_time() - since)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        outcome, messages = await run("act", "sys.stdout.write('y\\n' * 1_000_000)")
        tasks.cancel_scope.cancel()
    assert isinstance(outcome, Completed)
    assert len(messages) <= 501
    assert messages[-1].endswith("bytes more were printed, and not kept")
    assert sorted(lags)[len(lags) // 2] < 0.02


@pytest.mark.slow
async def test_what_a_handler_has_started_goes_with_its_worker(run, tmp_path):
    """A run that is stopped leaves no process of its session behind."""
    mark = tmp_path / "child"
    sleeping = (
        f"child = subprocess.Popen(['sleep', '60']); open({str(mark)!r}, 'w').write(str(child.pid)); child.wait()"
    )
    await run("look")  # so that the time is the handler's
    outcome, _ = await run("act", sleeping, timeout_seconds=2)
    assert outcome.reason == "timeout"
    child = int(mark.read_text())

    def is_gone():
        try:
            return Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2][0] == "Z"
        except FileNotFoundError:
            return True

    until(is_gone, "the child is gone")


async def test_a_module_that_cannot_be_loaded_in_a_worker_fails_its_run(run, tmp_path):
    """With the reason; the worker goes on."""
    (tmp_path / "jobs_in_one_process.py").write_text("raise LookupError('moved')")
    outcome, _ = await run("look")
    assert "the handler cannot be loaded in a worker process: LookupError: moved" in outcome.error
