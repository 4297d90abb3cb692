"""The parts that several stages of one listener share, built from the settings."""

from __future__ import annotations

import os
import random
import socket
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from listener.app.telemetry import build_otlp
from listener.clock import DatabaseClock
from listener.distribution import installed_version
from listener.handler_api.registry import Registry
from listener.maintenance.lease_keeper import CALL_SHARE
from listener.masking.redaction import hide_always
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.runs.held_runs import HeldRuns
from listener.supabase.rpc import CALL_SECONDS, Calls, Rpc
from listener.supabase.store import SupabaseStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.observability.otlp import Otlp
    from listener.settings import Settings
    from listener.supabase.client import ClientMaker


class ClientFactory:
    """Makes the clients of runs; imports their library, which is heavy, when it makes the first.

    Args:
        url: the project's URL.
        key: the service's key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._maker: ClientMaker | None = None

    def __call__(self) -> Any:  # noqa: ANN401 - supabase.AsyncClient, which only listener.supabase may name
        """Make a client."""
        if self._maker is None:
            from listener.supabase.client import ClientMaker  # noqa: PLC0415 - as above

            self._maker = ClientMaker(self._url, self._key)
        return self._maker()

    async def aclose(self) -> None:
        """Close the connections that the clients share."""
        if self._maker is not None:
            await self._maker.aclose()


@dataclass(frozen=True, slots=True)
class Shared:
    """Parts that several stages of one listener use."""

    settings: Settings
    listener_id: str
    key: str
    clock: DatabaseClock
    metrics: Metrics
    health: Health
    runs: HeldRuns
    rpc: Calls
    store: SupabaseStore
    registry: Registry
    client_factory: ClientFactory
    jitter: Callable[[], float]
    otlp: Otlp | None = None

    @property
    def horizon(self) -> timedelta:
        """How far ahead jobs are armed."""
        return timedelta(seconds=self.settings.horizon_seconds)


def build_shared(settings: Settings, registry: Registry | None = None) -> Shared:
    """Build what the stages of one listener share; without a registry, load the handlers that the settings name.

    Raises:
        ListenerError: a handler module is not usable.
    """
    registry = registry or Registry.load(settings.handlers)  # first: what fails here must leave nothing open
    listener_id, clock, key = str(uuid.uuid4()), DatabaseClock(), settings.secret_key.get_secret_value()
    hide_always(settings.secrets)
    health = Health(clock, tuple(settings.channels), max(settings.poll_seconds, settings.stale_poll_seconds))
    within_seconds = {"extend_leases_v1": min(CALL_SECONDS, settings.lease_seconds * CALL_SHARE)}
    rpc = _calls(settings, clock, health, within_seconds)
    metrics = Metrics()
    store = SupabaseStore(
        rpc,
        listener_id=listener_id,
        name=f"{socket.gethostname()}/{os.getpid()}",
        lease_seconds=settings.lease_seconds,
        claim_ahead_seconds=settings.claim_ahead_seconds,
        key_concurrency=settings.key_concurrency,
        handlers=registry.names,
        no_handler_seconds=settings.no_handler_seconds,
        run_restored=settings.run_restored,
        profile={"version": installed_version(), "capacity": settings.concurrency},
        on_skipped=metrics.instants_skipped,
    )
    return Shared(
        settings=settings,
        listener_id=listener_id,
        key=key,
        clock=clock,
        metrics=metrics,
        health=health,
        runs=HeldRuns(),
        rpc=rpc,
        store=store,
        registry=registry,
        client_factory=ClientFactory(settings.url, key),
        jitter=random.Random(listener_id).random,  # noqa: S311 - spreads load, hides nothing
        otlp=build_otlp(settings, listener_id, metrics.registry),
    )


def _calls(settings: Settings, clock: DatabaseClock, health: Health, within_seconds: dict[str, float]) -> Calls:
    """Choose the way to the database: connections of the listener's own, or PostgREST."""
    if settings.database_url is None:
        key = settings.secret_key.get_secret_value()
        return Rpc(settings.url, key, clock, health.answered, within_seconds)
    from listener.postgres.pool import DirectCalls  # noqa: PLC0415 - psycopg is loaded where it is used

    url, connections = settings.database_url.get_secret_value(), settings.database_connections
    return DirectCalls(url, clock, health.answered, within_seconds, connections=connections)
