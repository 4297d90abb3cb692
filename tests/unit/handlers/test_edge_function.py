"""An Edge Function is called with the service's key; whatever it answers is bounded and judged."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from listener.domain.outcome import Completed
from listener.handlers.edge_function import edge_function
from listener.testing import run_handler

LEGACY_KEY, KEY = "eyJ.a.b", "sb_secret_abc"


async def called(endpoint: Any, payload: dict[str, Any], key: str = KEY, **changes: Any) -> Any:
    """Run the handler once against a project that only has functions; give its outcome."""
    project = SimpleNamespace(supabase_url=endpoint.url.replace("/hook", "/"), supabase_key=key)
    return (await run_handler(edge_function, payload, client=project, **changes)).outcome


async def test_a_function_gets_its_body_the_key_and_the_runs_identity(endpoint):
    """A secret key is no JWT, and stands in its own header only."""
    endpoint.headers, endpoint.body = {"content-type": "application/json"}, b'{"ok": true}'
    outcome = await called(endpoint, {"function": "send-mail", "body": {"a": 1}, "headers": {"x-mine": "1"}}, attempt=2)
    assert isinstance(outcome, Completed)
    assert (outcome.result["status"], outcome.result["body"]) == (200, {"ok": True})
    await called(endpoint, {"function": "f"}, LEGACY_KEY)
    (method, target, headers, content), (_, _, legacy, _) = endpoint.requests
    assert (method, target, json.loads(content)) == ("POST", "/functions/v1/send-mail", {"a": 1})
    assert (headers["apikey"], headers.get("authorization"), headers["x-mine"]) == (KEY, None, "1")
    assert (headers["x-attempt"], headers["idempotency-key"]) == ("2", "1:2026-01-05T12:00:00+00:00")
    assert (legacy["apikey"], legacy["authorization"]) == (LEGACY_KEY, f"Bearer {LEGACY_KEY}")


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, ("http_404", False)), (500, ("retry", True)), (546, ("retry", True)), (302, ("http_302", False))],
)
async def test_the_answer_decides_whether_it_is_tried_again(endpoint, status, expected):
    """546 is a function beyond its limits."""
    endpoint.status = status
    failed = await called(endpoint, {"function": "f"})
    assert (failed.reason, failed.retryable) == expected


async def test_a_function_that_does_not_answer_is_given_up(endpoint):
    """After the payload's own limit."""
    endpoint.delay_seconds = 30
    failed = await called(endpoint, {"function": "f", "timeout_seconds": 0.1})
    assert (failed.reason, failed.retryable) == ("retry", True)
    assert "no answer within 0.1 s" in failed.error


async def test_in_test_mode_nothing_is_called(endpoint):
    """The result says what would be."""
    outcome = await called(endpoint, {"function": "f", "body": 1}, test_mode=True)
    assert outcome == Completed({"test_mode": True, "would_send": {"function": "f", "body": 1}})
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "change",
    [
        {"function": "../../rest/v1/x"},
        {"function": ""},
        {"function": "a/b"},
        {"headers": {"Authorization": "mine"}},
        {"headers": {"apikey": "mine"}},
        {"headers": {"x": "a\r\nb: c"}},
        {"url": "http://x"},
    ],
    ids=str,
)
async def test_a_payload_that_names_no_function_of_the_project_is_refused(endpoint, change):
    """The key goes nowhere else."""
    failed = await called(endpoint, {"function": "f", **change})
    assert (failed.reason, failed.retryable) == ("invalid_payload", False)
    assert endpoint.requests == []
