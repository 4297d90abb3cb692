"""`listener run`: the service."""

from __future__ import annotations


def run() -> None:
    """Run the listener against SUPABASE_URL until SIGTERM."""
    import anyio  # noqa: PLC0415 - the settings' faults are told before anything heavy is loaded

    from listener.settings import read_settings  # noqa: PLC0415
    from listener.telemetry import configure_logging  # noqa: PLC0415

    settings = read_settings()
    configure_logging(settings.log_format, settings.log_level)
    from listener.service import Service  # noqa: PLC0415

    anyio.run(_serve, Service, settings, backend_options={"use_uvloop": True})


async def _serve(service: type, settings: object) -> None:
    await service(settings).run()
