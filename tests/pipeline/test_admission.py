"""A handler that is not exposed does not run for users, also when it was exposed when they scheduled it."""

from __future__ import annotations

import pytest

from listener import handler
from listener.domain.outcome import Completed, Failed
from listener.testing import run_handler


@pytest.mark.parametrize(
    ("exposed", "row", "runs"),
    [
        (False, {"exposed_only": True}, False),
        (True, {"exposed_only": True}, True),
        (False, {"exposed_only": False}, True),  # the service's own, also where it made it in the name of a user
        (False, {}, True),  # a database that does not know the question
    ],
)
async def test_what_a_user_wrote_runs_exposed_handlers_only(exposed, row, runs):
    """The run ends with a reason and a message, without an attempt, and before the payload is looked at."""
    ran = []

    @handler("powerful", exposed=exposed)
    async def powerful(job):
        ran.append(job.job_id)

    outcome = (await run_handler(powerful, row={"created_by": "ann", **row})).outcome
    assert ran == ([1] if runs else [])
    if runs:
        assert outcome == Completed()
    else:
        assert isinstance(outcome, Failed)
        assert (outcome.reason, outcome.retryable) == ("not_exposed", False)
        assert outcome.error.startswith("handler: 'powerful' is not exposed to signed-in users")
