"""Requests to the database are bounded: answers get smaller when they take too long."""

from __future__ import annotations

import pytest

from listener.clock import DatabaseClock
from listener.domain.messages import Note, RunResult
from listener.domain.rendezvous import BUCKETS
from listener.domain.snapshot import Snapshot
from listener.errors import StoreError
from listener.supabase.catalogue import SupabaseCatalogue
from listener.supabase.rpc import Rpc
from listener.supabase.store import CHANGED_ROWS, CLEANUP_BATCH, PAGE, SupabaseStore
from listener.testing import NOON

SLOW = StoreError("f", "57014", "too slow", retryable=True, split_batch=True)
DOWN = StoreError("f", "ConnectError", "refused", retryable=True)
ROWS = {
    "rows": [],
    "cursor": 1,
    "after": None,
    "rescued": 0,
    "failures": [],
    "deleted": 0,
    "sources": {},
    "more": False,
    "ids": [],
}
ROWS["complete_until"] = NOON.isoformat()


class ScriptedRpc:
    """Gives prepared answers; errors are raised."""

    def __init__(self):
        self.answers, self.asked = [], []

    async def call(self, function, request, *_fields, **_named):
        self.asked.append((function, request))
        answer = self.answers.pop(0) if self.answers else ROWS
        if isinstance(answer, StoreError):
            raise answer
        return answer


@pytest.fixture
def rpc():
    """A stand-in for the RPC client."""
    return ScriptedRpc()


@pytest.fixture
def store(rpc):
    """A store on it."""
    return SupabaseStore(rpc, listener_id="me", name="here", lease_seconds=30, claim_ahead_seconds=0.25)


MUTED = "2026-01-01T00:00:10Z"
READS = {
    "poll": (lambda store: store.poll(Snapshot.before(1), NOON, None), PAGE),
    "due": (lambda store: store.due(NOON, 50_000), 50_000),
    "read": (lambda store: store.read([1, 2]), PAGE),
    "unplanned": (lambda store: store.unplanned(None), PAGE),
    "rescue": (lambda store: store.rescue(), PAGE),
    "clean": (lambda store: store.clean(7), CLEANUP_BATCH),
    "sync_all": (lambda store: store.sync_all(None, ()), PAGE),
    "sync_changed": (lambda store: store.sync_changed(None, ()), CHANGED_ROWS),
}


@pytest.mark.parametrize("name", READS)
async def test_what_takes_too_long_is_asked_for_in_smaller_parts(store, rpc, name):
    """Halved at each time limit, not at other faults; doubled after each success, up to the usual."""
    read, most = READS[name]
    rpc.answers = [SLOW, SLOW, DOWN]
    for _ in range(3):
        with pytest.raises(StoreError):
            await read(store)
    for _ in range(4):
        await read(store)
    limits = [request["limit"] for _, request in rpc.asked]
    assert limits == [most, most // 2, most // 4, most // 4, most // 2, most, most]


async def test_a_poll_asks_for_a_share_by_the_bits_of_its_buckets(store, rpc):
    """Databases before know no shares, and ignore it."""
    await store.poll(Snapshot.before(1), NOON, [1, 2], None, b"\x01\xfe")
    await store.poll(Snapshot.before(1), NOON, None, 200)
    (_, shared), (_, first) = rpc.asked
    assert shared["share"] == {"of": BUCKETS, "mine": "01fe"}
    assert (shared["limit"], first["limit"], "share" in first) == (PAGE, 200, False)


async def test_a_caller_that_wants_few_rows_limits_no_other_call(store, rpc):
    """A sample of the jobs that are due is followed by a list of all."""
    await store.due(NOON, 10)
    await store.due(NOON, 5000)
    assert [request["limit"] for _, request in rpc.asked] == [10, 5000]


async def test_a_limit_is_never_nothing(store, rpc):
    """One row at least."""
    rpc.answers = [SLOW] * 20
    for _ in range(20):
        with pytest.raises(StoreError):
            await store.rescue()
    assert rpc.asked[-1][1]["limit"] == 1


async def test_every_write_names_the_claim_that_it_is_made_for(store, rpc):
    """Execution and fence: the database takes nothing else."""
    rpc.answers = [{"taken": [], "rows": []}, {}, {"lost": [["a", 2]], "unsure": [["b", 3]], "listeners": None}]
    await store.finish([RunResult("a", "completed", NOON, 4)])
    await store.note([Note("a", 0.5, (), 5)])
    extended = await store.extend([("a", 2), ("b", 3)], shares=True, receives_notify=False)
    (_, finish), (_, note), (_, extend) = rpc.asked
    assert (finish["results"][0]["fence"], note["notes"][0]["fence"]) == (4, 5)
    assert extend["executions"] == [("a", 2), ("b", 3)]
    assert (extended.lost, extended.unsure) == ([("a", 2)], [("b", 3)])


@pytest.mark.parametrize(("spared", "is_granted"), [(None, True), ("2026-01-01T00:00:05Z", True), (MUTED, False)])
async def test_that_realtime_is_spared_is_no_mute(store, rpc, spared, is_granted):
    """Nothing was granted: the longer of both decides."""
    rpc.answers = [{"muted_until": MUTED, "notify_muted_until": None, "spared_until": spared}]
    assert (await store.mute(10) is not None) is is_granted


CALLS = {
    **{name: read for name, (read, _) in READS.items()},
    "plan": lambda store: store.plan([]),
    "claim": lambda store: store.claim([]),
    "finish": lambda store: store.finish([]),
    "extend": lambda store: store.extend([], shares=True, receives_notify=False),
    "note": lambda store: store.note([]),
    "send_probe": lambda store: store.send_probe(["broadcast"]),
    "mute": lambda store: store.mute(10),
    "publish": lambda store: SupabaseCatalogue(store._rpc, "me").publish([]),
}


@pytest.mark.parametrize("content", [b"", b"null", b"{}", b'{"status": "ok"}', b'{"now": "soon"}'])
async def test_a_success_without_the_fields_of_an_answer_is_a_fault_to_retry(content):
    """Something on the way to the database has said it: read as an answer it would end the stage, and its runs."""

    async def post(*_):
        return 200, content

    rpc = Rpc("http://project", "sb_secret_x", DatabaseClock())
    rpc._post = post
    store = SupabaseStore(rpc, listener_id="me", name="here", lease_seconds=30, claim_ahead_seconds=0.25)
    for call in CALLS.values():
        with pytest.raises(StoreError) as caught:
            await call(store)
        assert (caught.value.code, caught.value.retryable, caught.value.maybe_applied) == ("unreadable", True, True)
    await rpc.aclose()
