"""Questions that arrive while a request is under way share the next one, and nobody's fault is another's."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from listener import Retry
from listener.handlers._gathering import Gathering


async def test_waiting_calls_share_a_request():
    """One at a time, none above the bound, and each caller has its own answer."""
    gathering, requests, answers = Gathering(most=40), [], {}
    under_way = 0

    async def send(questions):
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        requests.append(len(questions))
        await checkpoint()
        under_way -= 1
        return [question * 2 for question in questions]

    async def ask(number):
        answers[number] = await gathering.submit(number, send)

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(ask, number)
    assert answers == {number: number * 2 for number in range(100)}
    assert len(requests) <= 4
    assert max(requests) <= 40


async def test_a_failed_request_fails_its_own_questions_only():
    """Each with an error of its own, and the next request goes on."""
    gathering, sent = Gathering(most=2), []

    async def send(questions):
        sent.append(questions)
        await checkpoint()
        if 0 in questions:
            raise ConnectionError
        return questions

    ends = {}

    async def ask(number):
        try:
            ends[number] = await gathering.submit(number, send)
        except Retry as retry:
            ends[number] = retry

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(ask, number)
    failed = [end for end in ends.values() if isinstance(end, Retry)]
    assert len(failed) == len(set(map(id, failed))) == len(next(each for each in sent if 0 in each))
    assert {end.message for end in failed} == {"ConnectionError: "}
    assert len(ends) == 4


@pytest.mark.parametrize("stopped", ["sending", "waiting"])
async def test_a_stopped_caller_holds_nobody_up(stopped):
    """Neither the one that sends for all, nor one that waits for its turn."""
    gathering, sent, answered = Gathering(most=10), [], []
    first_sends, go_on = anyio.Event(), anyio.Event()

    async def send(questions):
        sent.append(list(questions))
        first_sends.set()
        await go_on.wait()
        return questions

    async def ask(number):
        answered.append(await gathering.submit(number, send))

    scopes = {}

    async def in_scope(number):
        with anyio.CancelScope() as scopes[number]:
            await ask(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_scope, 0)
            await first_sends.wait()
            for number in (1, 2):
                tasks.start_soon(in_scope, number)
            await anyio.wait_all_tasks_blocked()
            scopes[0 if stopped == "sending" else 1].cancel()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert sorted(answered) == ([1, 2] if stopped == "sending" else [0, 2])
    assert not gathering._waiting
