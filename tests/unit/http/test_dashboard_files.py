"""The dashboard's files: cached, compressed, under a strict policy, and without any key that is secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from listener.api_key import publishable_key_fault
from listener.app.dashboard import BrowserAccess, Dashboard

KEY = "sb_publishable_c2VjcmV0_abcdefgh"
PAGE = "<!doctype html><title>Jobs</title>"
SCRIPT = "console.log('jobs');" * 50


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Give a folder as Vite leaves it."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "assets" / "index-Bx1.js").write_text(SCRIPT)
    return tmp_path


def client(folder: Path, key: str | None = KEY, url: str = "https://abc.supabase.co") -> httpx.AsyncClient:
    """A client of an application that serves the folder."""
    app = Starlette(routes=Dashboard(BrowserAccess(url, key) if key else None, folder).routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_the_page_its_files_and_its_configuration_are_served(built: Path) -> None:
    """With their types; a folder above is out of reach."""
    (built.parent / "secret").write_text("hush")
    async with client(built) as asking:
        page = await asking.get("/dashboard", follow_redirects=True)
        script = await asking.get("/dashboard/assets/index-Bx1.js")
        config = await asking.get("/dashboard/config.json")
        above = await asking.get("/dashboard/%2e%2e/secret")
    assert (page.url.path, page.text) == ("/dashboard/", PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert (script.text, script.headers["content-type"]) == (SCRIPT, "text/javascript; charset=utf-8")
    project = {"supabaseUrl": "https://abc.supabase.co", "publishableKey": KEY, "listenerUrl": ".."}
    assert config.json() == {**project, "sendsMail": False}
    assert above.status_code == 404


async def test_what_has_a_hash_in_its_name_is_kept_for_good(built: Path) -> None:
    """All else is asked for anew each time, which costs no more than a 304."""
    async with client(built) as asking:
        kept = {}
        for path in ("", "config.json", "assets/index-Bx1.js"):
            answer = await asking.get(f"/dashboard/{path}")
            again = await asking.get(f"/dashboard/{path}", headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            kept[path] = answer.headers["cache-control"]
    asset = "public, max-age=31536000, immutable"
    assert kept == {"": "no-cache", "config.json": "no-cache", "assets/index-Bx1.js": asset}


async def test_files_are_compressed_for_those_who_can_read_that(built: Path) -> None:
    """And the cache in between knows of the difference."""
    async with client(built) as asking:
        url = "/dashboard/assets/index-Bx1.js"
        plain = await asking.get(url, headers={"accept-encoding": "identity"})
        zipped = await asking.get(url, headers={"accept-encoding": "gzip"})
    assert plain.text == zipped.text == SCRIPT
    assert int(zipped.headers["content-length"]) < int(plain.headers["content-length"])
    assert {plain.headers["vary"], zipped.headers["vary"]} == {"accept-encoding"}


async def test_every_answer_is_under_a_strict_policy(built: Path) -> None:
    """Scripts of the files alone, requests to the project and this port alone, in nobody's frame."""
    async with client(built, url="https://abc.supabase.co/behind/a/path") as asking:
        answers = [await asking.get(f"/dashboard/{path}") for path in ("", "config.json", "nothing")]
    for answer in answers:
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["connect-src"] == "'self' https://abc.supabase.co wss://abc.supabase.co"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["require-trusted-types-for"] == "'script'", "no text becomes markup"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_page_for_other_hosts_has_the_same_policy() -> None:
    """With the listener beside the project, since it is another origin there."""
    page = (Path(__file__).parents[3] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    policy = BrowserAccess("https://abc.supabase.co", KEY).policy()
    project = "https://abc.supabase.co wss://abc.supabase.co"
    assert policy.replace(project, f"{project} https://jobs.example.com") in page


async def test_a_new_build_is_served_without_a_restart(built: Path) -> None:
    """Also the first one: until then the page says how to build it."""
    script = built / "assets" / "index-Bx1.js"
    kept = script.read_text(), (built / "index.html").read_text()
    script.unlink()
    (built / "index.html").unlink()
    async with client(built) as asking:
        none = await asking.get("/dashboard/")
        (built / "index.html").write_text(kept[1])
        first = await asking.get("/dashboard/")
        script.write_text(kept[0])
        late = await asking.get("/dashboard/assets/index-Bx1.js")
    assert (none.status_code, first.status_code, late.status_code) == (404, 200, 200)
    assert "npm run build" in none.text


async def test_without_a_key_it_says_which_to_set(built: Path) -> None:
    """Nothing of the dashboard is served."""
    async with client(built, key=None) as asking:
        answers = [await asking.get(f"/dashboard/{path}") for path in ("", "config.json")]
    assert {answer.status_code for answer in answers} == {404}
    assert all("SUPABASE_PUBLISHABLE_KEY" in answer.text for answer in answers)


def _jwt(**claims: str) -> str:
    parts = ({"alg": "HS256"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".sig"


@pytest.mark.parametrize(
    ("key", "is_fit"),
    [
        (KEY, True),
        (_jwt(role="anon"), True),
        ("sb_secret_c2VjcmV0_abcdefgh", False),
        (_jwt(role="service_role"), False),
        (_jwt(role="authenticated"), False),
        (_jwt(iss="supabase"), False),
        ("hush", False),
        (f"{KEY} {KEY}", False),
        ("", False),
    ],
    ids=["publishable", "anon", "secret", "service_role", "user", "no role", "unknown", "two words", "empty"],
)
def test_only_a_key_that_is_known_to_be_public_is_given_to_browsers(key: str, is_fit: bool) -> None:  # noqa: FBT001 - expected
    """A key of no known kind may be secret."""
    why_not = publishable_key_fault(key)
    assert (why_not is None) == is_fit
    assert not key or key not in (why_not or "")
