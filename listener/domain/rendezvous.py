"""Rendezvous hashing: all listeners compute the same order of listeners for a job, without communication; pure.

Each listener's weight for a job is a hash of both; the highest comes first. When a listener goes, only its own jobs
pass to others, and not all of them to the same. (D. Thaler and C. Ravishankar, "Using name-based mappings to increase
hit rates", 1998.)
"""

from __future__ import annotations

from hashlib import blake2b

_MASK = (1 << 64) - 1


def seed(listener_id: str) -> int:
    """Return 64 bits that stand for a listener, the same in every process and version."""
    return int.from_bytes(blake2b(listener_id.encode(), digest_size=8).digest(), "big")


def weight(job_id: int, listener_seed: int) -> int:
    """Mix both into 64 bits: MurmurHash3's finalizer, three times as fast here as a digest would be.

    It is one to one, so no two listeners weigh the same. A checksum would not do: its values for two listeners differ
    by a constant, so that of three listeners one would come first for half of all jobs.
    """
    mixed = (job_id ^ listener_seed) & _MASK
    mixed = ((mixed ^ (mixed >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    mixed = ((mixed ^ (mixed >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return mixed ^ (mixed >> 33)


def turn(job_id: int, mine: int, others: tuple[int, ...]) -> int:
    """Return how many of the others come before me: 0 is the first."""
    own = weight(job_id, mine)
    return sum(weight(job_id, other) > own for other in others)
