"""Nobody becomes a member without consent: an admin invites, and the invited user accepts or declines."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from cast import ROLES
from patience import until

from listener.local.keys import user_id

if TYPE_CHECKING:
    import httpx
    from cast import Tenancy

READ_BACK = {"Prefer": "return=representation"}
SIGNED_IN = [role for role in ROLES if role not in {"anon", "service"}]


def invite(tenancy: Tenancy, user: uuid.UUID, role: str = "editor", by: str = "admin") -> httpx.Response:
    """Invite a user into the workspace."""
    row = {"workspace_id": str(tenancy.workspace), "user_id": str(user), "role": role}
    return tenancy.clients[by].post("/job_workspace_invitations", json=row, headers=READ_BACK)


def answer(tenancy: Tenancy, who: str, verb: str) -> httpx.Response:
    """Accept or decline an invitation."""
    return tenancy.clients[who].post(f"/rpc/{verb}_invitation", json={"workspace": str(tenancy.workspace)})


def invitations(tenancy: Tenancy, who: str) -> list[dict[str, Any]]:
    """Read the invitations that a user sees."""
    return tenancy.clients[who].get("/job_workspace_invitations").json()


def role_of(tenancy: Tenancy, who: str) -> str | None:
    """Read, as superuser, which role a user has in the workspace."""
    query = "select role from public.job_workspace_members where workspace_id = %s and user_id = %s"
    row = tenancy.database.execute(query, [tenancy.workspace, user_id(who)]).fetchone()
    return row and row["role"]


def sees_the_workspace(tenancy: Tenancy, who: str) -> bool:
    """Whether a user sees the workspace or its job."""
    jobs = tenancy.clients[who].get("/scheduled_jobs", params={"id": f"eq.{tenancy.workspace_job}"}).json()
    teams = tenancy.clients[who].get("/job_workspaces", params={"id": f"eq.{tenancy.workspace}"}).json()
    assert bool(jobs) is bool(teams)
    return bool(jobs)


def test_an_invited_user_is_a_member_once_they_accept(tenancy: Tenancy):
    """Until then they see the invitation, with the workspace's name and who invites, and nothing of the workspace."""
    invited = invite(tenancy, user_id("stranger"))
    assert invited.status_code == 201, invited.text
    assert invitations(tenancy, "stranger") == invitations(tenancy, "admin") == invited.json()
    (invitation,) = invited.json()
    assert (invitation["workspace_name"], invitation["invited_by"]) == ("Team", str(user_id("admin")))
    assert not sees_the_workspace(tenancy, "stranger")
    accepted = answer(tenancy, "stranger", "accept")
    assert (accepted.status_code, accepted.json()["role"]) == (200, "editor")
    assert sees_the_workspace(tenancy, "stranger")
    assert invitations(tenancy, "stranger") == invitations(tenancy, "admin") == []


def test_a_declined_invitation_is_gone(tenancy: Tenancy):
    """It cannot be accepted afterwards, and the admin may invite again."""
    invite(tenancy, user_id("stranger"))
    assert answer(tenancy, "stranger", "decline").is_success
    assert answer(tenancy, "stranger", "accept").status_code == 404
    assert (role_of(tenancy, "stranger"), invitations(tenancy, "admin")) == (None, [])
    assert invite(tenancy, user_id("stranger")).status_code == 201


def test_an_invitation_that_was_taken_back_makes_no_member(tenancy: Tenancy):
    """Not even where it is accepted while the admin takes it back."""
    invite(tenancy, user_id("stranger"))
    waits = "select count(*) as n from pg_locks where not granted"
    delete = "delete from public.job_workspace_invitations where workspace_id = %s"
    with ThreadPoolExecutor(1) as threads:
        with tenancy.database.transaction():
            tenancy.database.execute(delete, [tenancy.workspace])
            accepted = threads.submit(answer, tenancy, "stranger", "accept")
            until(lambda: accepted.done() or tenancy.database.execute(waits).fetchone()["n"], "the invited user waits")
        assert accepted.result().status_code == 404, accepted.result().text
    assert role_of(tenancy, "stranger") is None


@pytest.mark.parametrize("verb", ["accept", "decline"])
@pytest.mark.parametrize("who", SIGNED_IN)
def test_an_invitation_is_its_users_alone(tenancy: Tenancy, who: str, verb: str):
    """For all others, the admin too, there is none, as there is none for a workspace that does not exist."""
    invite(tenancy, uuid.uuid4())
    before = role_of(tenancy, who)
    refused = answer(tenancy, who, verb)
    unknown = tenancy.clients[who].post(f"/rpc/{verb}_invitation", json={"workspace": str(uuid.uuid4())})
    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert refused.json()["message"].replace(str(tenancy.workspace), "") == "no invitation to workspace "
    assert role_of(tenancy, who) == before


@pytest.mark.parametrize("verb", ["accept", "decline"])
def test_anon_has_no_invitation(tenancy: Tenancy, verb: str):
    """It may not even ask."""
    assert answer(tenancy, "anon", verb).status_code in {401, 403}


def test_an_invited_user_enters_only_as_what_the_invitation_says(tenancy: Tenancy):
    """Also where they write the table themselves, which uses the invitation up."""
    invite(tenancy, user_id("stranger"), "viewer")
    client, me = tenancy.clients["stranger"], str(user_id("stranger"))
    row = {"workspace_id": str(tenancy.workspace), "user_id": me}
    assert client.post("/job_workspace_members", json={**row, "role": "admin"}).status_code == 403
    assert client.post("/job_workspace_members", json={**row, "role": "viewer"}).status_code == 201
    tenancy.clients["admin"].delete("/job_workspace_members", params={"user_id": f"eq.{me}"})
    assert client.post("/job_workspace_members", json={**row, "role": "viewer"}).status_code == 403
    assert role_of(tenancy, "stranger") is None


def test_a_member_who_accepts_stays_what_they_are(tenancy: Tenancy):
    """An old invitation does not take the workspace its admin."""
    invite(tenancy, user_id("admin"), "viewer")
    accepted = answer(tenancy, "admin", "accept")
    assert (accepted.status_code, accepted.json()["role"]) == (200, "admin")
    assert invitations(tenancy, "admin") == []


def test_inviting_does_not_tell_whether_a_user_exists(tenancy: Tenancy):
    """One who signed in before, one who never will, and one who declined get the same answer."""
    strip = {"user_id", "created_at"}
    answers = []
    for user in (user_id("stranger"), user_id("owner"), uuid.uuid4()):
        invited = invite(tenancy, user)
        row = {name: value for name, value in invited.json()[0].items() if name not in strip}
        answers.append((invited.status_code, row))
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("who", [role for role in SIGNED_IN if role != "admin"])
def test_only_an_admin_invites(tenancy: Tenancy, who: str):
    """Into a workspace that exists or not: the answer is the same."""
    refused = invite(tenancy, uuid.uuid4(), by=who)
    row = {"workspace_id": str(uuid.uuid4()), "user_id": str(uuid.uuid4())}
    unknown = tenancy.clients[who].post("/job_workspace_invitations", json=row)
    assert (refused.status_code, refused.json()) == (unknown.status_code, unknown.json())
    assert refused.status_code == 403


def test_an_admin_forges_neither_who_invites_nor_the_name(tenancy: Tenancy):
    """The invited user may rely on both."""
    row = {"workspace_id": str(tenancy.workspace), "user_id": str(uuid.uuid4())}
    for forged in ({"invited_by": str(user_id("owner"))}, {"workspace_name": "Your bank"}):
        assert tenancy.clients["admin"].post("/job_workspace_invitations", json={**row, **forged}).status_code == 403


def test_an_admin_adds_nobody_directly_and_the_service_does(tenancy: Tenancy):
    """What the service adds needs no invitation, and uses one up that is pending."""
    row = {"workspace_id": str(tenancy.workspace), "user_id": str(user_id("stranger")), "role": "viewer"}
    assert tenancy.clients["admin"].post("/job_workspace_members", json=row).status_code == 403
    invite(tenancy, user_id("stranger"), "admin")
    assert tenancy.clients["service"].post("/job_workspace_members", json=row).status_code == 201
    assert (role_of(tenancy, "stranger"), invitations(tenancy, "stranger")) == ("viewer", [])


def test_so_many_invitations_wait_and_no_more(tenancy: Tenancy):
    """Anybody can make up user ids; what is answered or taken back makes room, and the service key has no bound."""
    rows = [{"workspace_id": str(tenancy.workspace), "user_id": str(uuid.uuid4())} for _ in range(501)]
    path = "/job_workspace_invitations"
    assert tenancy.clients["admin"].post(path, json=rows[:499]).status_code == 201
    refused = tenancy.clients["admin"].post(path, json=rows[499:])
    assert refused.status_code == 403
    assert refused.json()["message"].startswith(
        "quota max_invitations: 2 more of this workspace must not wait; limit 500"
    )
    assert tenancy.clients["admin"].post(path, json=rows[499:500]).status_code == 201
    assert tenancy.clients["service"].post(path, json=rows[500:]).status_code == 201
    mine = {"workspace_id": f"eq.{tenancy.workspace}"}
    assert tenancy.clients["admin"].delete(path, params=mine).is_success
    assert invite(tenancy, uuid.uuid4()).status_code == 201
