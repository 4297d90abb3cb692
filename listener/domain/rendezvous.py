"""Rendezvous hashing: all listeners compute the same order of listeners for a job, without communication; pure.

Jobs fall into buckets by id, so that one bit shows the database whose a job is. Each listener's weight for a
bucket is a hash of both; the highest comes first. When a listener goes, only its own buckets pass to others, and not
all of them to the same. (D. Thaler and C. Ravishankar, "Using name-based mappings to increase hit rates", 1998.)
"""

from __future__ import annotations

from hashlib import blake2b

BUCKETS = 2039
"""A prime, so that ids at any distance from one another meet all buckets; many, so that shares are even."""
_MASK = (1 << 64) - 1


def seed(listener_id: str) -> int:
    """Return 64 bits that stand for a listener, the same in every process and version."""
    return int.from_bytes(blake2b(listener_id.encode(), digest_size=8).digest(), "big")


def bucket(job_id: int) -> int:
    """Return the bucket of a job, below `BUCKETS`; `job_scheduler.changed_page` computes the same."""
    return abs(job_id) % BUCKETS


def weight(job_id: int, listener_seed: int) -> int:
    """Mix the job's bucket and the seed into 64 bits: MurmurHash3's finalizer, a third of the time of a digest.

    It is one to one, so no two listeners weigh the same. A checksum would not do: its values for two listeners differ
    by a constant, so that of three listeners one would come first for half of all jobs.
    """
    mixed = (bucket(job_id) ^ listener_seed) & _MASK
    mixed = ((mixed ^ (mixed >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    mixed = ((mixed ^ (mixed >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return mixed ^ (mixed >> 33)


def turn(job_id: int, mine: int, others: tuple[int, ...]) -> int:
    """Return how many of the others come before me: 0 is the first."""
    own = weight(job_id, mine)
    return sum(weight(job_id, other) > own for other in others)


class Order:
    """My turn among these others in each bucket, computed once.

    Args:
        mine: my seed.
        others: the seeds of the others.
    """

    def __init__(self, mine: int, others: tuple[int, ...]) -> None:
        self.others = others
        self._mine = mine
        self._turns: list[int | None] = [None] * BUCKETS

    def turn(self, job_id: int) -> int:
        """Return how many of the others come before me: 0 is the first."""
        place = bucket(job_id)
        mine = self._turns[place]
        if mine is None:
            mine = self._turns[place] = turn(place, self._mine, self.others)
        return mine

    def first(self) -> bytes:
        """Return a bit for each bucket, set where I come first; bucket 0 has the lowest bit of the first byte."""
        bits = sum(1 << each for each in range(BUCKETS) if not self.turn(each))
        return bits.to_bytes((BUCKETS + 7) // 8, "little")
