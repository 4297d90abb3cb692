"""Chromium, and pages of the dashboard in it that watch what they do: whom they ask, and what they complain of."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from patience import PATIENCE_SECONDS
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboard_team import Team
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

REPOSITORY = Path(__file__).parents[2]
AXE = REPOSITORY / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
BUSY = "[aria-busy=true], .skeletons"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
CUT_OFF = """() => [...document.querySelectorAll('header *, main *')].filter((element) =>
    getComputedStyle(element).overflowX !== 'visible' && getComputedStyle(element).clipPath === 'none'
    && element.scrollWidth > element.clientWidth + 1 && !element.closest('pre, input, textarea')
).map((element) => `${element.className || element.tagName}: ${element.textContent.slice(0, 60)}`)"""
RULES = "(only) => axe.run(document, {resultTypes: ['violations'], ...(only.length ? {runOnly: only} : {})})"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the Chromium of the PATH, or Playwright's own."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*QUIET, *sandbox])
        yield browser
        browser.close()


@dataclass
class Visit:
    """One person's browser window on the dashboard.

    Args:
        page: Playwright's.
        team: the people and their workspace.
        url: of the dashboard.
        hosts: that the page may ask.
    """

    page: Page
    team: Team
    url: str
    hosts: frozenset[str]
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Watch the page."""
        self.page.on("request", self._note_request)
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda fault: self.complaints.append(str(fault)))

    def go(self, route: str = "/", **parameters: str) -> Page:
        """Open a route in the team's workspace, and wait until it shows its data."""
        query = "&".join(f"{name}={value}" for name, value in {"workspace": self.team.workspace, **parameters}.items())
        self.page.goto(f"{self.url}#{route}?{query}")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until nothing loads any more."""
        self.page.evaluate(DRAWN)  # a route that was changed is shown
        expect(self.page.locator("h1, main h2").first).to_be_visible()
        expect(self.page.locator(BUSY)).to_have_count(0)

    def expects(self, pattern: str) -> None:
        """Let the page complain of this: a request that is meant to be refused shows in the console."""
        self.expected.append(pattern)

    def check(self) -> None:
        """Fail where the page asked another host, or complained."""
        foreign = [
            url for url in self.asked if urlsplit(url).scheme != "data" and urlsplit(url).netloc not in self.hosts
        ]
        assert not foreign, f"asked others: {foreign}"
        complaints = [each for each in self.complaints if not any(re.search(one, each) for one in self.expected)]
        assert not complaints, complaints

    def violations(self, *only: str) -> list[str]:
        """Give what axe finds by these rules, or all: one line each with the rule, its impact and the elements."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(RULES, list(only))["violations"]
        return [
            f"{each['id']} ({each['impact']}): {', '.join(str(node['target']) for node in each['nodes'])}"
            for each in found
        ]

    def overflow(self) -> int:
        """Give by how many pixels the page is wider than its window."""
        return self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def cut_off(self) -> list[str]:
        """Give what does not fit into its place: text that is cut, and what one has to scroll sideways to see."""
        return self.page.evaluate(CUT_OFF)

    def _note_request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")


@dataclass
class Visits:
    """Opens windows, each signed in as somebody, and checks and closes them at the end."""

    browser: Browser
    team: Team
    listener_url: str
    opened: list[tuple[BrowserContext, Visit]] = field(default_factory=list)

    def __call__(self, role: str | None = "admin", *, width: int = 1280, height: int = 800, **options: Any) -> Visit:
        """Open a window for somebody who is signed in, or for nobody; the options are Playwright's of a context."""
        kept = self.team.kept_by_browser(role, self.listener_url) if role else None
        context = self.browser.new_context(
            storage_state=kept,
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Berlin",
            **options,
        )
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        hosts = frozenset(urlsplit(url).netloc for url in (self.listener_url, self.team.stack.url))
        visit = Visit(context.new_page(), self.team, f"{self.listener_url}/dashboard/", hosts)
        self.opened.append((context, visit))
        return visit

    def close(self, *, checked: bool = True) -> None:
        """Close the windows; a page that complained fails the test."""
        opened, self.opened = self.opened, []
        for context, _ in opened:
            context.close()
        for _, visit in opened:
            if checked:
                visit.check()


expect.set_options(timeout=PATIENCE_SECONDS * 1000)
