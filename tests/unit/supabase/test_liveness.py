"""When a channel is proved, when it wants a probe, and when it is lost."""

from __future__ import annotations

import pytest

from listener.settings import Settings
from listener.supabase.feed import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, SOON_PAUSES, SOON_SECONDS, pause_seconds
from listener.supabase.liveness import EARLIEST_SHARE, MANY_OTHERS, SPARE_FACTOR, Liveness
from listener.supabase.watched_session import Times

CHANNELS = ("broadcast", "postgres_changes")
LONGEST_JOIN = 1.5  # connecting, joining and receiving of the first probe, where the server is fine


@pytest.fixture
def liveness():
    """Both channels: silent for 4 seconds at most, an answer within 2, subscribed until 5."""
    return Liveness(CHANNELS, 4, 2, 5, lambda: 1.0, lambda: MANY_OTHERS)


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
    """Each channel for itself; and where one is lost, the others are asked at once."""
    subscribed(liveness)
    liveness.sent(CHANNELS, CHANNELS, 0, 0.1)
    liveness.received("broadcast", 0.2)
    assert liveness.deadline() == 2.1
    assert liveness.probe_due() == 4.2
    assert liveness.take_lost(2.1) == {"postgres_changes": "a probe did not come back within 2 s"}
    assert (liveness.due_channels(2.1), liveness.deadline()) == (["broadcast"], None)


def test_whatever_is_heard_puts_the_next_probe_off(liveness):
    """A busy table needs none."""
    subscribed(liveness)
    for second in range(10):
        for channel in CHANNELS:
            liveness.received(channel, second)
    assert (liveness.probe_due(), liveness.deadline()) == (13, None)


def test_a_signal_on_one_channel_is_a_probe_for_a_silent_one(liveness):
    """A change's signal goes through both channels; one that was received just now needs no probe."""
    subscribed(liveness)
    for channel in CHANNELS:
        liveness.received(channel, 0)
    liveness.received("broadcast", 3.9)
    assert liveness.deadline() is None
    liveness.received("broadcast", 4)
    assert (liveness.deadline(), liveness.probe_due()) == (6, 8)


def test_a_probe_is_one_for_the_channels_that_it_names(liveness):
    """At rest the second channel is asked half as often as the first, whoever sends the probe."""
    subscribed(liveness)
    for channel in CHANNELS:
        liveness.received(channel, 0)
    assert (liveness.due_channels(4), liveness.due_channels(8)) == (["broadcast"], list(CHANNELS))
    liveness.received("broadcast", 4, ["broadcast"])
    assert (liveness.deadline(), liveness.probe_due()) == (None, 8)
    liveness.received("broadcast", 8, CHANNELS)
    assert liveness.deadline() == 10


def test_the_only_channel_is_the_first(liveness):
    """Where the first is lost, the second is asked as often as the first was."""
    liveness.subscribed("postgres_changes", 0)
    liveness.take_lost(5)
    liveness.received("postgres_changes", 6)
    assert liveness.probe_due() == 10


def test_a_doubt_asks_every_channel_at_once_and_less_and_less_often_where_it_is_wrong():
    """A change without a signal: Realtime drops, or the trigger is gone, which no probe shows."""
    liveness = subscribed(Liveness(CHANNELS, 80, 2, 5, lambda: 1.0))

    def answered(now, **named):
        for channel in CHANNELS:
            liveness.received(channel, now, **named)

    answered(0)
    doubts = []
    for second in range(1, 300):
        liveness.doubt(second)
        answered(second, through=())  # by what nobody asked for
        if second == 200:
            answered(second)
        if liveness.due_channels(second):
            doubts.append(second)
            assert liveness.due_channels(second) == list(CHANNELS)
            liveness.sent(CHANNELS, CHANNELS, second, second)
            answered(second + 0.1, through=CHANNELS)
    assert doubts == [1, 6, 16, 36, 76, 156, 236, 241, 251, 271]


def test_a_doubt_that_comes_too_soon_waits_and_one_during_a_probe_is_none(liveness):
    """The change that it is about may be seen only once."""
    subscribed(liveness)
    for channel in CHANNELS:
        liveness.received(channel, 0)
    liveness.doubt(1)
    liveness.sent(CHANNELS, CHANNELS, 1, 1)
    liveness.doubt(1.1)
    for channel in CHANNELS:
        liveness.received(channel, 1.2, CHANNELS)
    assert liveness.due_channels(6) == ["broadcast"]
    liveness.doubt(3)
    assert (liveness.due_channels(5.1), liveness.due_channels(6)) == ([], list(CHANNELS))


def test_a_probe_that_was_heard_before_its_request_was_answered_is_not_waited_for(liveness):
    """Broadcasts are faster than the answer of the request that sent them."""
    subscribed(liveness)
    for channel in CHANNELS:
        liveness.received(channel, 1.001)
    liveness.sent(CHANNELS, CHANNELS, 1, 1.002)
    assert liveness.deadline() is None


def test_a_subscription_that_came_after_the_request_wants_a_probe_of_its_own(liveness):
    """It may have been sent before."""
    liveness.subscribed("broadcast", 0)
    liveness.subscribed("postgres_changes", 0.5)
    liveness.sent(CHANNELS, CHANNELS, 0.4, 0.6)
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
    liveness.sent(CHANNELS, ["postgres_changes"], 0, 0)
    assert liveness.take_lost(3) == {"postgres_changes": "a probe did not come back within 2 s"}
    assert liveness.deadline() is None


def test_a_channel_on_which_the_database_can_send_again_is_expected_again(liveness):
    """The function was missing for a while: once the answer to a probe names the channel, it is asked, too."""
    subscribed(liveness)
    liveness.received("broadcast", 0.1)
    liveness.sent(CHANNELS, ["postgres_changes"], 1, 1)
    liveness.received("postgres_changes", 1)
    assert (liveness.deadline(), liveness.probe_due()) == (None, 5), "only the other one needs a probe"
    liveness.sent(["postgres_changes"], CHANNELS, 5, 5)
    assert liveness.due_channels(5) == ["broadcast"], "it was not asked, for it was not expected"
    liveness.sent(["broadcast"], CHANNELS, 5, 5)
    liveness.received("postgres_changes", 5.1)
    assert liveness.take_lost(7) == {"broadcast": "a probe did not come back within 2 s"}


def test_a_time_in_which_nothing_ran_here_counts_for_nobody(liveness):
    """A handler held the loop, or the machine slept: the frames that wait come first."""
    subscribed(liveness)
    liveness.sent(CHANNELS, CHANNELS, 0, 0)
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
        liveness = Liveness(CHANNELS, 100, 2, 5, lambda chance=chance: chance)
        subscribed(liveness)
        for channel in CHANNELS:
            liveness.received(channel, 0)
        dues.add(liveness.probe_due())
    assert dues == {95, 97.5, 100}


def test_the_longest_way_from_stale_to_hearing_is_under_ten_seconds():
    """The patience of every step of it, as it is by default, from the first job that a poll finds instead of a hint.

    Also where connecting has to be given up first; and at rest, where nothing waits for it, within 90 seconds.
    """
    times, poll_seconds = Times(), Settings.model_fields["poll_seconds"].default
    again = FIRST_PAUSE_SECONDS + LONGEST_JOIN
    assert poll_seconds + times.answer_seconds + again < 10
    assert times.join_seconds + again < 10
    assert times.probe_seconds + 2 * times.answer_seconds < 90


@pytest.mark.parametrize(("others", "second"), [(0, 80.0), (1, 80.0), (2, 160.0)])
def test_the_second_channel_is_asked_as_often_as_the_first_unless_many_pay_for_it(others, second):
    """Each listener pays for each probe that it receives."""
    liveness = subscribed(Liveness(CHANNELS, 80, 2, 5, lambda: 1.0, lambda: others))
    for channel in CHANNELS:
        liveness.received(channel, 0.0, CHANNELS)
    assert liveness.probe_due() == 80.0
    liveness.received("broadcast", 80.0, ["broadcast"])
    assert liveness.probe_due() == second


@pytest.mark.parametrize(("listeners", "budget"), [(1, 100_000), (2, 200_000), (3, 200_000)])
def test_probes_at_rest_cost_little(listeners, budget):
    """Counted as Supabase bills a month of 30 days, with channels that are asked as early as they may be."""
    silence = Times().probe_seconds
    earliest = EARLIEST_SHARE * silence
    spare = SPARE_FACTOR if listeners > MANY_OTHERS else 1
    broadcasts, changes = 30 * 86400 / earliest, 30 * 86400 / (spare * earliest)
    assert broadcasts * (1 + listeners) + changes * listeners < budget


def test_pauses_grow_slowly_at_first_and_end_at_a_minute():
    """An outage of seconds is fixed in seconds, one of hours is not hammered."""
    pauses = [pause_seconds(failures) for failures in range(40)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[1]) == (0, FIRST_PAUSE_SECONDS)
    assert (pauses[SOON_PAUSES], pauses[-1]) == (SOON_SECONDS, MAX_PAUSE_SECONDS)
