"""The rate limit is the real server's: an average of up to sixty seconds, applied without a word."""

from __future__ import annotations

from listener.local.realtime.rate import RateLimit


def test_a_burst_passes_whole_and_silences_what_follows() -> None:
    """5,000 changes at 100 a second: all pass, then nothing does until the average has sunk, about 50 s later."""
    limit = RateLimit(100)
    assert all(limit.admit(1, 1000.0) for _ in range(5000))
    heard = [second for second in range(1001, 1100) if limit.admit(1, second)]
    assert heard[0] == 1050
    assert heard == list(range(1050, 1100))


def test_a_sustained_rate_above_the_limit_loses_some() -> None:
    """Twice the limit: about half gets through."""
    limit = RateLimit(100)
    admitted = sum(limit.admit(1, 1000 + event / 200) for event in range(200 * 120))
    assert 0.4 < admitted / (200 * 120) < 0.6


def test_without_a_limit_everything_passes() -> None:
    """The default of the embedded stack."""
    assert RateLimit(None).admit(10**9)
