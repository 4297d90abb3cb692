"""When a channel is proved, when it wants a probe, and when it is lost."""

from __future__ import annotations

import pytest

from listener.supabase.feed import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, SOON_PAUSES, SOON_SECONDS, pause_seconds
from listener.supabase.liveness import Liveness
from listener.supabase.watched_session import Times

CHANNELS = ("broadcast", "postgres_changes")
LONGEST_JOIN = 1.5  # connecting, joining and receiving of the first probe, where the server is fine


@pytest.fixture
def liveness():
    """Both channels: silent for 4 seconds at most, an answer within 2, subscribed until 5."""
    return Liveness(CHANNELS, 4, 2, 5, lambda: 1.0)


def subscribed(liveness, at=0.0):
    """Subscribe both."""
    for channel in CHANNELS:
        liveness.subscribed(channel, at)
    return liveness


def test_the_first_probe_is_due_with_the_first_subscription(liveness):
    """Nothing is believed before; without a subscription there is nothing to ask."""
    assert (liveness.probe_due(), liveness.deadline()) == (None, 5)
    liveness.subscribed("broadcast", 1)
    assert liveness.probe_due() == 1


def test_a_channel_that_is_not_subscribed_in_time_is_lost(liveness):
    """The join may be answered and the subscription never come."""
    liveness.subscribed("broadcast", 1)
    assert liveness.take_lost(4.9) == {}
    assert liveness.take_lost(5) == {"postgres_changes": "no subscription in time"}
    assert liveness.take_lost(100) == {}


def test_silence_wants_a_probe_and_an_unanswered_one_is_the_end(liveness):
    """Each channel for itself."""
    subscribed(liveness)
    liveness.sent(CHANNELS, 0, 0.1)
    liveness.received("broadcast", 0.2)
    assert liveness.deadline() == 2.1
    assert liveness.take_lost(2.1) == {"postgres_changes": "a probe did not come back within 2 s"}
    assert (liveness.probe_due(), liveness.deadline()) == (4.2, None)


def test_whatever_is_heard_puts_the_next_probe_off(liveness):
    """A busy table needs none."""
    subscribed(liveness)
    for second in range(10):
        for channel in CHANNELS:
            liveness.received(channel, second)
    assert (liveness.probe_due(), liveness.deadline()) == (13, None)


def test_a_signal_on_one_channel_is_a_probe_for_a_silent_one(liveness):
    """A signal goes through both channels, as does any probe; one that was received just now needs no probe."""
    subscribed(liveness)
    for channel in CHANNELS:
        liveness.received(channel, 0)
    liveness.received("broadcast", 1.9)
    assert liveness.deadline() is None
    liveness.received("broadcast", 2)
    assert (liveness.deadline(), liveness.probe_due()) == (4, 6)


def test_a_probe_that_was_heard_before_its_request_was_answered_is_not_waited_for(liveness):
    """Broadcasts are faster than the answer of the request that sent them."""
    subscribed(liveness)
    for channel in CHANNELS:
        liveness.received(channel, 1.001)
    liveness.sent(CHANNELS, 1, 1.002)
    assert liveness.deadline() is None


def test_a_subscription_that_came_after_the_request_wants_a_probe_of_its_own(liveness):
    """It may have been sent before."""
    liveness.subscribed("broadcast", 0)
    liveness.subscribed("postgres_changes", 0.5)
    liveness.sent(CHANNELS, 0.4, 0.6)
    assert (liveness.deadline(), liveness.probe_due()) == (2.6, 0.5)


def test_a_server_that_subscribes_anew_is_asked_at_once(liveness):
    """It has lost changes."""
    subscribed(liveness)
    for channel in CHANNELS:
        liveness.received(channel, 1)
    liveness.subscribed("postgres_changes", 2)
    assert liveness.probe_due() == 2


def test_what_the_database_cannot_ring_is_not_expected(liveness):
    """There is nothing to prove."""
    subscribed(liveness)
    liveness.sent(["postgres_changes"], 0, 0)
    assert liveness.take_lost(3) == {"postgres_changes": "a probe did not come back within 2 s"}
    assert liveness.deadline() is None


def test_what_the_database_can_ring_again_is_expected_again(liveness):
    """The function was missing for a while: the first probe that names the channel has to come through it."""
    subscribed(liveness)
    liveness.received("broadcast", 0.1)
    liveness.sent(["postgres_changes"], 1, 1)
    liveness.received("postgres_changes", 1)
    assert (liveness.deadline(), liveness.probe_due()) == (None, 5), "only the other one needs a probe"
    liveness.sent(CHANNELS, 5, 5)
    liveness.received("postgres_changes", 5.1)
    assert liveness.take_lost(7) == {"broadcast": "a probe did not come back within 2 s"}


def test_a_time_in_which_nothing_ran_here_counts_for_nobody(liveness):
    """A handler held the loop, or the machine slept: the frames that wait come first."""
    subscribed(liveness)
    liveness.sent(CHANNELS, 0, 0)
    liveness.excuse(3)
    assert liveness.take_lost(4.9) == {}
    assert set(liveness.take_lost(5)) == set(CHANNELS)


def test_without_probes_nothing_is_asked_and_only_subscriptions_are_expected():
    """A choice of whoever pays by the message."""
    liveness = Liveness(CHANNELS, 0, 2, 5, lambda: 1.0)
    liveness.subscribed("broadcast", 0)
    liveness.received("broadcast", 9)
    assert liveness.probe_due() is None
    assert set(liveness.take_lost(50)) == {"postgres_changes"}


def test_listeners_that_fall_silent_together_do_not_ring_together():
    """Each sends its probe after its own part of the silence."""
    dues = set()
    for chance in (0.0, 0.5, 1.0):
        liveness = Liveness(CHANNELS, 10, 2, 5, lambda chance=chance: chance)
        subscribed(liveness)
        for channel in CHANNELS:
            liveness.received(channel, 0)
        dues.add(liveness.probe_due())
    assert dues == {9, 9.5, 10}


def test_the_longest_way_from_stale_to_hearing_is_under_ten_seconds():
    """The patience of every step of it, as it is by default; also where connecting has to be given up first."""
    times = Times()
    again = FIRST_PAUSE_SECONDS + LONGEST_JOIN
    assert times.probe_seconds + times.answer_seconds + again < 10
    assert times.join_seconds + again < 10


def test_pauses_grow_slowly_at_first_and_end_at_a_minute():
    """An outage of seconds is fixed in seconds, one of hours is not hammered."""
    pauses = [pause_seconds(failures) for failures in range(40)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[1]) == (0, FIRST_PAUSE_SECONDS)
    assert (pauses[SOON_PAUSES], pauses[-1]) == (SOON_SECONDS, MAX_PAUSE_SECONDS)
