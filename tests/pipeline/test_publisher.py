"""The catalogue is published before the listener is ready, again when that failed, and again now and then."""

from __future__ import annotations

import anyio
import pytest

from listener.errors import StoreError
from listener.maintenance import publisher
from listener.maintenance.publisher import Publisher
from listener.observability.health import Health

CATALOGUE = [{"name": "noop", "description": "", "payload_schema": None, "exposed": True}]
REFUSED = StoreError("publish_handlers_v1", "PGRST202", "is not there", retryable=True)
"""By a database whose migrations are older than this listener."""


@pytest.fixture
def health(clock):
    """Give the health of a service that has read its database and listens to nothing."""
    health = Health(clock)
    health.poll_succeeded()
    return health


async def published_by(store, health):
    """Run the publisher until its store has no more answers."""
    with pytest.raises(IndexError):
        await Publisher(store, CATALOGUE, health, lambda: 0.5).run()


async def test_the_service_is_not_ready_before_its_handlers_are_published(parts, health, naps):
    """The first client finds the catalogue."""
    seen = []

    def publish(_):
        health.poll_succeeded()
        seen.append(health.fault())
        return 1 if len(seen) < 2 else IndexError()

    await published_by(parts.ScriptedStore(publish=publish), health)
    assert seen == ["catalogue: not yet", None]


async def test_a_failure_delays_readiness_by_one_attempt_and_is_tried_again(parts, health, naps):
    """With longer and longer pauses, up to a minute; then as seldom as ever."""
    store = parts.ScriptedStore(publish=[*[REFUSED] * 8, 1, REFUSED, IndexError()])
    await published_by(store, health)
    assert naps == [1, 2, 4, 8, 16, 32, 60, 60, 3600, 1]
    assert store.asked("publish") == [[CATALOGUE]] * 11
    health.poll_succeeded()
    assert health.fault() is None


async def test_a_database_that_does_not_answer_delays_readiness_for_a_moment_only(parts, health, monkeypatch):
    """Jobs run without a catalogue."""
    monkeypatch.setattr(publisher, "FIRST_SECONDS", 0.01)
    silent = parts.ScriptedStore(publish=lambda _: anyio.sleep_forever())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Publisher(silent, CATALOGUE, health, lambda: 0.5).run)
        assert health.fault() == "catalogue: not yet"
        await anyio.sleep(0.05)
        with anyio.fail_after(5):
            while health.fault():  # noqa: ASYNC110 - health has no event
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
