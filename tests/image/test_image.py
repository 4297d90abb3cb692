"""The image in a container, confined as compose.yaml confines it: `make image-test`."""

from __future__ import annotations

import time


def test_it_is_ready_and_runs_a_job(start, image, project, figures) -> None:
    """A row that a client inserts is completed; no other listener is there."""
    began = time.monotonic()
    start(image)
    figures["ready after"] = f"{time.monotonic() - began:.1f} s"
    job = project.insert("log", metadata={"message": "hello"})
    assert project.wait(job)["status"] == "completed"


def test_it_stops_at_sigterm(start, image, container_engine, figures) -> None:
    """By itself, with code 0; the engine need not kill it."""
    container = start(image)
    began = time.monotonic()
    container_engine.call("stop", "-t", "30", container.name)
    figures["stopped after"] = f"{time.monotonic() - began:.1f} s"
    assert container_engine.inspect("container", container.name)["State"]["ExitCode"] == 0
    assert '"event": "service.starting"' in container.logs(), "logs are JSON"


def test_it_has_no_powers_and_cannot_write(start, image, container_engine) -> None:
    """User 10001 without capabilities, on a root that is read-only; it has /tmp."""
    container = start(image)
    status = container.status()
    assert set(status["Uid"].split()) == {"10001"}
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    refused = container_engine.attempt("exec", "--user=0", container.name, "touch", "/app/file")
    assert "Read-only file system" in refused.stderr
    container_engine.call("exec", container.name, "touch", "/tmp/file")  # noqa: S108 - it is the container's


def test_the_image_says_how_to_check_its_health(image, container_engine) -> None:
    """An engine that reads it starts checks by itself."""
    reported = container_engine.inspect("image", image)
    check = reported.get("Healthcheck") or reported["Config"]["Healthcheck"]
    assert "/livez" in check["Test"][-1]


def test_handlers_of_ones_own_go_into_an_image_built_on_it(start, own_image, project) -> None:
    """As docs/operations.md advises; the handlers that ship with the service stay."""
    container = start(own_image)
    assert set(container.status()["Uid"].split()) == {"10001"}
    own = project.insert("greet", metadata={"name": "Ada"})
    shipped = project.insert("noop")
    assert project.wait(own)["result"] == {"greeting": "hello, Ada"}
    assert project.wait(shipped)["status"] == "completed"
