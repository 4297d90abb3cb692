"""However late the service comes, every due instant gets exactly one outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

from hypothesis import given, settings
from hypothesis import strategies as st

from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.misfire import MAX_RUNS, settle
from listener.domain.schedule import next_run, upcoming

START = datetime(2026, 3, 1, tzinfo=UTC)
SPAN_SECONDS = 4 * 86_400
TRIGGERS = st.one_of(
    st.builds(lambda seconds: Trigger(TriggerType.INTERVAL, START, {"seconds": seconds}), st.integers(40, 40_000)),
    st.sampled_from(["*/5 * * * *", "* * * * *", "* 9-16 * * *", "30 1,2,3 * * *", "0 0 * * 1", "*/2 1-5 * * 0"]).map(
        lambda text: Trigger(TriggerType.CRON, START, {"expression": text}, "America/New_York")
    ),
    st.just(Trigger(TriggerType.ONCE, START)),
)


@settings(max_examples=150)
@given(
    TRIGGERS,
    st.integers(0, SPAN_SECONDS),
    st.integers(0, SPAN_SECONDS),
    st.sampled_from(Misfire),
    st.one_of(st.integers(0, 3_600), st.integers(0, SPAN_SECONDS)),
    st.one_of(st.integers(1, 30), st.integers(100, 5_000)),
)
def test_every_instant_up_to_now_is_run_or_skipped_once(  # noqa: PLR0913, PLR0917 - what may vary
    trigger: Trigger, since: int, late: int, misfire: Misfire, grace: int, step: int
):
    """Step by step, `run` and `skipped` share out the due instants up to now; the rule decides which goes where."""
    due = next_run(trigger, START + timedelta(seconds=since)) or START
    now = due + timedelta(seconds=late)
    instants = [due, *takewhile(lambda instant: instant <= now, upcoming(trigger, due))]

    skipped: list[datetime] = []
    settlement = settle(trigger, due, now, misfire, grace, step=step)
    while settlement.next_due is not None and settlement.next_due <= now:
        assert (settlement.run, len(settlement.skipped)) == ((), step)
        skipped += settlement.skipped
        settlement = settle(trigger, settlement.next_due, now, misfire, grace, step=step)
    skipped += settlement.skipped

    assert settlement.next_due == next_run(trigger, now)
    assert len(settlement.skipped) <= step + MAX_RUNS
    assert sorted([*skipped, *settlement.run]) == instants
    on_time = [instant for instant in instants if instant >= now - timedelta(seconds=grace)]
    missed = instants[: len(instants) - len(on_time)]
    wanted = on_time if misfire is Misfire.SKIP else missed[-1 if misfire is Misfire.RUN_ONCE else 0 :] + on_time
    assert list(settlement.run) == wanted[-MAX_RUNS:]
