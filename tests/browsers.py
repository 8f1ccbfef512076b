"""A real browser for tests: somebody signed in on a real board, and what the console complained of.

The browser enforces the Content-Security-Policy, so a console without errors is a part of every test. It asserts
nothing itself.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Response, expect, sync_playwright

from tests.boards import RunningBoard

PASSWORD = "correct-horse-44"
WAIT_MS = 30_000
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window; see requirements.py for when there is none."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


class Reader:
    """Somebody at a browser: a signed-in page, and what its console complained of."""

    def __init__(
        self, browser: Browser, board: RunningBoard, *, width: int = 1280, password: str = PASSWORD
    ) -> None:
        self.address = f"http://127.0.0.1:{board.port}"
        self.complaints: list[str] = []
        self.polls: list[int] = []
        self.context = browser.new_context(viewport={"width": width, "height": 800})
        self.context.set_default_timeout(WAIT_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._note)
        self.page.on("dialog", self._note_dialog)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("response", self._note_poll)
        self.page.goto(f"{self.address}/login/")
        self.page.get_by_label("Name").fill("admin")
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("main").get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.address}/")

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _note_dialog(self, dialog: Dialog) -> None:
        """No page of the board asks or tells this way: it is a script that somebody else brought in."""
        self.complaints.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()

    def _note_poll(self, response: Response) -> None:
        if "v=" in response.url:
            self.polls.append(response.status)

    def submit(self, repository: Path, command: str, *, server: str = "local") -> str:
        """Submit by form; the job's path. Other servers that a test added may be gone by now."""
        self.page.goto(f"{self.address}/jobs/new/")
        self.page.get_by_label("Repository").fill(str(repository))
        self.page.get_by_label("Server", exact=True).select_option(server)
        box = self.page.get_by_role("textbox", name="Command")
        box.fill(command)
        box.press("Control+Enter")
        self.page.wait_for_url("**/jobs/*-*/")
        return self.page.url.removeprefix(self.address)

    @property
    def sideways(self) -> int:
        """By how many pixels the page is wider than the window."""
        room = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return max(0, int(self.page.evaluate(f"() => {room}")))

    def wait_for_badge(self, word: str) -> None:
        """Until the badge of the job or server says this, without a reload."""
        expect(self.page.locator("h1 .badge")).to_have_text(word)

    @property
    def scroll_top(self) -> float:
        """How far the log is scrolled, in pixels."""
        return float(self.page.locator("[data-scroll]").evaluate("element => element.scrollTop"))
