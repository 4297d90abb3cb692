"""The two ways of a listener to its database, for tests that hold by either."""

from __future__ import annotations

import pytest

WAYS = ("postgrest", "direct")
both_ways = pytest.mark.parametrize("way", WAYS, indirect=True, scope="module")
"""Run tests once with a listener that goes through PostgREST, and once with one that has connections of its own."""
through_postgrest = pytest.mark.parametrize("way", WAYS[:1], indirect=True, scope="module")
"""Run tests through PostgREST only, whatever `--direct` says: they are about it."""
