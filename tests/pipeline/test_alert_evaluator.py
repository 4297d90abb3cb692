"""Rules are evaluated while there are any, as often as the database says; without rules nothing is called."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from listener.domain.messages import Evaluated
from listener.errors import StoreError
from listener.maintenance.alerts import INTERVAL_SECONDS, JITTER_SECONDS, AlertEvaluator
from listener.observability.metrics import Metrics

DOWN = StoreError("evaluate_alerts_v1", "ConnectError", "refused", retryable=True)
NOTHING = Evaluated(0, 0, 0, 9.0)


async def test_without_rules_nothing_is_called(parts, naps):
    """Not once, whatever the number of heartbeats that say so."""
    store = parts.ScriptedStore(evaluate=[])
    evaluator = AlertEvaluator(store, Metrics(), lambda: 0.5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(evaluator.run)
        for _ in range(20):
            evaluator.notice(has_alerts=False)
            await checkpoint()
        tasks.cancel_scope.cancel()
    assert (store.requests, naps) == ([], [])


async def test_it_goes_on_as_long_as_there_are_rules(parts, naps):
    """Also after a fault; once a heartbeat says that there are none, it waits for the next."""
    answers = [NOTHING, DOWN, Evaluated(2, 1, 3, 10.0)]

    def evaluate():
        if not answers:
            evaluator.notice(has_alerts=False)
            return NOTHING
        return answers.pop(0)

    store, metrics = parts.ScriptedStore(evaluate=evaluate), Metrics()
    evaluator = AlertEvaluator(store, metrics, lambda: 0.5)
    evaluator.notice(has_alerts=True)
    async with anyio.create_task_group() as tasks:
        with capture_logs() as logs:
            tasks.start_soon(evaluator.run)
            for _ in range(50):
                await checkpoint()
            assert len(store.asked("evaluate")) == 4
            evaluator.notice(has_alerts=True)
            for _ in range(5):
                await checkpoint()
        tasks.cancel_scope.cancel()
    assert len(store.asked("evaluate")) == 5
    jitter = JITTER_SECONDS * 0.5
    assert naps[:4] == [9.0 + jitter, INTERVAL_SECONDS + jitter, 10.0 + jitter, 9.0 + jitter]
    assert [line["event"] for line in logs] == ["alerts.not_evaluated", "alerts.evaluated"]
    shown = metrics.exposition()
    for what, count in (("opened", 2), ("resolved", 1), ("deliveries", 3)):
        assert f'listener_alerts_total{{what="{what}"}} {count}.0'.encode() in shown
