"""The rate limit is the real server's: an average of a minute, looked at every five seconds, applied without a word."""

from __future__ import annotations

from listener.local.realtime.rate import RateLimit


def heard(limit: RateLimit, begin: int, end: int) -> list[int]:
    """Name the seconds in which one change passes."""
    return [second for second in range(begin, end) if limit.admit(1, second)]


def test_a_burst_passes_whole_and_silences_what_follows() -> None:
    """5,000 changes at 100 a second: nothing passes from the next look until the average has sunk."""
    limit = RateLimit(100)
    assert all(limit.admit(1, 1000.0) for _ in range(5000))
    assert heard(limit, 1001, 1100) == [1001, 1002, 1003, 1004, *range(1055, 1100)]


def test_a_larger_burst_silences_for_a_minute() -> None:
    """Its count has to leave the window: whoever subscribed has counted too."""
    limit = RateLimit(100)
    assert limit.admit(10_000, 1000.0)
    assert heard(limit, 1005, 1100)[0] == 1065


def test_after_a_quiet_minute_the_same_burst_is_within_the_average() -> None:
    """The window is full of silence then: 5,000 a minute are 83 a second."""
    limit = RateLimit(100)
    limit.admit(1, 1000.0)
    assert limit.admit(5000, 1061.0)
    assert heard(limit, 1062, 1160) == list(range(1062, 1160))


def test_a_sustained_rate_above_the_limit_loses_some() -> None:
    """Twice the limit: about half gets through."""
    limit = RateLimit(100)
    admitted = sum(limit.admit(1, 1000 + event / 200) for event in range(200 * 120))
    assert 0.4 < admitted / (200 * 120) < 0.6


def test_without_a_limit_everything_passes() -> None:
    """The default of the embedded stack."""
    assert RateLimit(None).admit(10**9)
