"""`listener doctor`: checks everything that a listener needs, and reports how to fix each fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.doctor.channels import examine_channels
from listener.doctor.finding import Finding
from listener.doctor.handler_check import examine_catalogue, examine_waiting
from listener.doctor.interface import examine_interface
from listener.doctor.membership_check import examine_memberships
from listener.doctor.own_connection import examine_own_connection
from listener.doctor.restore_check import examine_restore
from listener.doctor.topic import examine_topic
from listener.errors import ListenerError
from listener.handler_api.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from listener.settings import Settings

__all__ = ["Finding", "examine"]


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield findings one by one; checks that an earlier fault makes impossible are left out."""
    yield examine_handlers(settings.handlers)
    is_well = True
    async for finding in examine_interface(settings):
        is_well = is_well and finding.is_well
        yield finding
    if is_well:
        async for finding in examine_own_connection(settings):
            is_well = is_well and finding.is_well
            yield finding
    if is_well:
        yield await examine_restore(settings)
        yield await examine_memberships(settings)
        yield await examine_catalogue(settings)
        yield await examine_waiting(settings)
        async for finding in examine_topic(settings):
            yield finding
        async for finding in examine_channels(settings):
            yield finding


def examine_handlers(modules: list[str]) -> Finding:
    """Import the handler modules as the listener would."""
    try:
        names = Registry.load(modules).names
    except ListenerError as fault:
        return Finding("handlers", str(fault), "correct the module, or LISTENER_HANDLERS; see docs/handlers.md")
    if not names:
        return Finding(
            "handlers", f"none in {', '.join(modules)}", "name the modules that declare them in LISTENER_HANDLERS"
        )
    return Finding("handlers", ", ".join(names))
