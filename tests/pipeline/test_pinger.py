"""The pinger pings while the listener is ready, says once why it is not, and never waits for its monitor."""

from __future__ import annotations

import pytest
import structlog

from listener.errors import PingFailedError
from listener.maintenance.pinger import AGAIN_SECONDS, FAULT_SECONDS, LOOK_SECONDS, Pinger
from listener.observability.health import Health
from listener.observability.metrics import Metrics

DOWN = PingFailedError("ConnectError: refused")


class Pinging:
    """A pinger on a monitor with prepared faults, and a service that is ready unless a test says otherwise."""

    def __init__(self, parts, clock, seconds=60.0):
        self.clock, self.health, self.metrics = clock, Health(clock), Metrics()
        self.monitor = parts.ScriptedStore(ping=lambda *_: self.faults.pop(0) if self.faults else None)
        self.faults: list[PingFailedError | None] = []
        self.pinger = Pinger(self.monitor, self.health, clock, self.metrics, seconds)
        self.health.poll_succeeded()

    @property
    def sent(self):
        return [" ".join(arguments).strip() or "ready" for arguments in self.monitor.asked("ping")]

    async def look(self, seconds=0.0, *, ready=True):
        """Let so much time pass, looking every second, and return what was sent meanwhile."""
        before = len(self.sent)
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.clock.advance(LOOK_SECONDS)
            if ready:
                self.health.poll_succeeded()
            await self.pinger.run_once()
        return self.sent[before:]


@pytest.fixture
def of(parts, clock):
    """Give a pinger of a listener that is ready."""
    return Pinging(parts, clock)


async def test_a_ready_listener_pings_at_its_interval(of):
    """The first ping comes at once, the others one interval after the one before."""
    assert await of.look(1) == ["ready"]
    assert await of.look(59) == []
    assert await of.look(1) == ["ready"]


async def test_a_listener_that_is_not_ready_sends_no_ping_and_says_so_once(of):
    """Not at once: what recovers within half a minute is only a ping that does not come."""
    await of.look(1)
    of.health.poll_failed("503 from the database")
    assert await of.look(FAULT_SECONDS, ready=False) == []
    assert await of.look(300, ready=False) == ["fail database: 503 from the database"]
    assert await of.look(1) == ["ready"]
    of.health.poll_failed("again")
    assert await of.look(FAULT_SECONDS + 1, ready=False) == ["fail database: again"]


async def test_a_listener_that_never_becomes_ready_says_so(of):
    """It had no ping before."""
    of.health.await_first("catalogue")
    assert await of.look(FAULT_SECONDS + 1) == ["fail catalogue: not yet"]


async def test_a_listener_that_drains_sends_nothing(of):
    """A deploy is no failure; where no other listener follows, the missing ping is the alarm."""
    await of.look(1)
    of.health.drain()
    assert await of.look(300) == []


async def test_a_ping_that_is_not_taken_is_repeated_soon_and_logged_once(of):
    """With a line when pings are taken again."""
    of.faults = [DOWN, DOWN]
    with structlog.testing.capture_logs() as lines:
        assert await of.look(1 + 2 * AGAIN_SECONDS) == ["ready"] * 3
    assert [line["event"] for line in lines] == ["heartbeat.unsent", "heartbeat.recovered"]
    text = of.metrics.exposition().decode()
    assert 'listener_heartbeat_pings_total{outcome="unsent"} 2.0' in text
    assert 'listener_heartbeat_pings_total{outcome="sent"} 1.0' in text


async def test_it_begins_with_the_start(of, naps, monkeypatch):
    """Before the listener is ready."""
    monkeypatch.setattr(of.pinger, "run_once", None)
    with pytest.raises(TypeError):
        await of.pinger.run()
    assert of.sent == ["start"]
