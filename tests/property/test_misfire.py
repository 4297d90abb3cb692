"""However late the service comes, every due instant gets exactly one verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

from hypothesis import given, settings
from hypothesis import strategies as st

from listener.domain.job import Misfire, Trigger, TriggerType
from listener.domain.misfire import MAX_EXAMINED, MAX_RUNS, MAX_SKIPPED, settle
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


@settings(max_examples=150, deadline=None)
@given(
    TRIGGERS,
    st.integers(0, SPAN_SECONDS),
    st.integers(0, SPAN_SECONDS),
    st.sampled_from(Misfire),
    st.one_of(st.integers(0, 3_600), st.integers(0, SPAN_SECONDS)),
)
def test_every_instant_up_to_now_is_run_or_skipped_once(
    trigger: Trigger, since: int, late: int, misfire: Misfire, grace: int
):
    """`run`, `skipped` and `more` share out the due instants up to now; the rule decides which goes where."""
    due = next_run(trigger, START + timedelta(seconds=since)) or START
    now = due + timedelta(seconds=late)
    settlement = settle(trigger, due, now, misfire, grace)
    instants = [due, *takewhile(lambda instant: instant <= now, upcoming(trigger, due))]

    assert settlement.next_due == next_run(trigger, now)
    assert len(settlement.run) <= MAX_RUNS
    assert len(settlement.skipped) <= MAX_SKIPPED
    assert not set(settlement.run) & set(settlement.skipped)
    assert set(settlement.run) | set(settlement.skipped) <= set(instants)
    rest = len(instants) - len(settlement.run) - len(settlement.skipped)
    assert settlement.more == rest if settlement.more_is_exact else 0 < settlement.more <= rest
    assert settlement.more_is_exact or len(instants) > MAX_EXAMINED

    on_time = [instant for instant in instants if instant >= now - timedelta(seconds=grace)]
    missed = instants[: len(instants) - len(on_time)]
    wanted = on_time if misfire is Misfire.SKIP else missed[-1 if misfire is Misfire.RUN_ONCE else 0 :] + on_time
    assert list(settlement.run) == wanted[-MAX_RUNS:]
