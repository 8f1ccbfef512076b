"""The pages of servers in a real browser, on a real board with a real sshd: from adding one to its first build."""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from servers.host_keys import parse_host_key
from tests.boards import RunningBoard
from tests.browsers import Reader
from tests.ssh_servers import SshServer

pytestmark = [pytest.mark.e2e, pytest.mark.ssh, pytest.mark.slow]

STEPS = ["Reach", "Host key", "Log in", "Shell", "Git", "Work folder", "Disk", "Tools"]


def add(reader: Reader, server: SshServer, *, name: str) -> None:
    """Fill the form in and send it; the browser is then on the server's page."""
    page = reader.page
    page.goto(f"{reader.address}/servers/new/")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Host", exact=True).fill(server.hostname)
    page.get_by_label("Port").fill(str(server.port))
    page.get_by_label("Account").fill(server.username)
    page.locator("#more summary").click()
    page.get_by_label("CPU limit, percent").fill("100")  # the tests' own machine may be busy
    page.get_by_label("Account").press("Control+Enter")
    page.wait_for_url(re.compile(r"/servers/[0-9a-f-]{36}/$"))


def accept_key(reader: Reader, server: SshServer, *, button: str) -> None:
    """Compare the shown fingerprint with the server's own and accept it."""
    reader.page.get_by_role("link", name=button).click()
    dialog = reader.page.locator("#key-dialog")
    expect(dialog.locator("#ask-seen-key")).to_have_text(parse_host_key(server.host_key_line).fingerprint)
    dialog.get_by_label("The server itself prints the same fingerprint").check()
    dialog.get_by_role("button", name="Accept host key").click()


def add_trusted(reader: Reader, server: SshServer, *, name: str) -> None:
    """Add a server, let the board in and trust the server's key."""
    add(reader, server, name=name)
    server.authorize(reader.page.locator("#public-key").inner_text())
    accept_key(reader, server, button="Compare and accept")
    reader.wait_for_badge("Online")


def lines_of(page: Page, link: str) -> list[str]:
    """The lines that a link to lines shows in a tab that had another page."""
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("bb-log .ll.sel").first).to_be_in_viewport()
    expect(page.locator("bb-log .ll.ph")).to_have_count(0)
    return page.locator("bb-log .ll.sel .lx").all_inner_texts()


def steps_of(reader: Reader) -> list[str]:
    """`Reach: done` and so on, as a screen reader says them."""
    lines = reader.page.locator("#check .feed li").all()
    return ["".join(line.locator("> div > span").all_text_contents()) for line in lines]


def enrolment_of(reader: Reader) -> list[str]:
    """How far each of the five steps on the way in is, as a screen reader says it."""
    return [word.removeprefix(": ") for word in reader.page.locator("#enrolment .sr-only").all_inner_texts()]


def test_the_machine_of_the_board_is_in_the_list(reader: Reader) -> None:
    page = reader.page
    page.get_by_role("navigation", name="Main", exact=True).get_by_role("link", name="Servers").click()
    row = page.locator("#servers tbody tr", has=page.get_by_role("link", name="local", exact=True))
    expect(row.locator(".badge")).to_have_text("Online")

    row.get_by_role("link", name="local").click()
    page.get_by_role("button", name="Test connection").click()

    done = [f"{step}: done" for step in STEPS]
    expect(page.locator("#check header")).to_contain_text("tested")
    assert steps_of(reader) == done
    expect(page.locator("#toolchains")).to_contain_text("/")
    assert reader.complaints == []


def test_a_server_is_added_let_in_trusted_and_builds(
    reader: Reader, ssh_server: SshServer, repository: Path
) -> None:
    page = reader.page
    ssh_server.authorize()
    add(reader, ssh_server, name="far-1")
    where = page.url

    expect(page.locator("#key-waits")).to_be_visible()
    reader.wait_for_badge("Unknown")
    assert enrolment_of(reader) == ["done", "current", "done", "current", "ahead"]
    accept_key(reader, ssh_server, button="Compare and accept")
    expect(page.locator("#check")).to_contain_text("Add the server's public key")
    assert steps_of(reader)[:4] == ["Reach: done", "Host key: done", "Log in: failed", "Shell: ahead"]
    assert enrolment_of(reader) == ["done", "failed", "done", "done", "ahead"]
    expect(page.locator("#enrolment footer")).to_contain_text("paste the lines below on it, then test")

    lines = page.locator("#install-lines").inner_text().replace("chmod go-w ~\n", "")
    subprocess.run(
        ["sh", "-ec", lines], env={"HOME": str(ssh_server.home), "PATH": "/bin:/usr/bin"}, check=True
    )
    ssh_server.authorize((ssh_server.home / ".ssh/authorized_keys").read_text().strip())
    page.get_by_role("button", name="Test connection").click()
    reader.wait_for_badge("Online")
    expect(page.locator("#check header")).to_contain_text("tested")
    assert steps_of(reader) == [f"{step}: done" for step in STEPS]
    expect(page.locator("#enrolment")).to_have_count(0)
    expect(page.locator("#enrolled")).to_contain_text("far-1 is in the fleet. Builds for ")

    path = reader.submit(repository, "echo built on $HOME; sleep 2", server="far-1")
    reader.wait_for_badge("Completed")
    page.get_by_role("link", name="far-1").first.click()
    assert page.url == where
    expect(page.locator("#recent .tlink")).to_have_attribute("href", path)
    assert ssh_server.auth_log().count("Accepted publickey") > 0
    assert reader.complaints == []


def test_a_build_on_a_server_is_watched_cancelled_with_a_reason_and_retried(
    reader: Reader, ssh_server: SshServer, repository: Path, tmp_path: Path
) -> None:
    page, go = reader.page, tmp_path / "go"
    add_trusted(reader, ssh_server, name="far-3")
    waits = f"while [ ! -e {go} ]; do sleep 0.1; done"
    path = reader.submit(repository, f"seq 1 300; {waits}; seq 301 600; echo a needle", server="far-3")
    page.locator("bb-log .lx", has_text="300").wait_for()
    reader.wait_for_badge("Running")
    page.get_by_role("link", name="Cancel").click()
    dialog = page.locator("#cancel-dialog")
    dialog.get_by_label("Reason").fill("the wrong branch")
    dialog.get_by_role("button", name="Cancel job").click()
    reader.wait_for_badge("Cancelled")
    expect(page.get_by_label("How it ended")).to_contain_text("Cancelled by admin the wrong branch")

    go.touch()
    page.get_by_role("link", name="Retry").click()
    page.locator("#retry-dialog").get_by_role("button", name="Retry").click()
    page.wait_for_url(lambda url: "/jobs/" in url and not url.endswith(path))
    reader.wait_for_badge("Completed")
    expect(page.get_by_role("link", name="far-3").first).to_be_visible()
    page.locator("[data-q]").fill("needle")
    hits = page.locator("[data-hits]")
    expect(hits).to_have_text(
        re.compile("[12] of 2")
    )  # the command itself is in the log; it begins where one is
    if hits.inner_text() == "1 of 2":
        page.locator("[data-q]").press("Enter")
    expect(hits).to_have_text("2 of 2")
    page.locator("bb-log .ll.cur .ln").click()
    link, _, number = page.url.rpartition("#L")
    assert link.endswith("/?attempt=1")
    assert lines_of(page, f"{link}#L{number}") == ["a needle"]
    assert lines_of(page, f"{link}#L{int(number) - 5}-L{number}") == [*map(str, range(596, 601)), "a needle"]
    assert reader.complaints == []


def test_a_changed_host_key_raises_the_alarm_until_it_is_accepted(
    reader: Reader, ssh_server: SshServer
) -> None:
    page = reader.page
    add_trusted(reader, ssh_server, name="far-2")
    old = parse_host_key(ssh_server.host_key_line).fingerprint

    new = parse_host_key(ssh_server.change_host_key()).fingerprint
    ssh_server.kill_all()
    ssh_server.start()
    page.get_by_role("button", name="Test connection").click()

    alarm = page.locator("#key-alarm")
    expect(alarm).to_be_visible()
    expect(alarm.locator("#pinned-key")).to_have_text(old)
    expect(alarm.locator("#seen-key")).to_have_text(new)
    expect(page.locator("h1 .badge")).to_have_text(["Offline", "Quarantined"])
    page.goto(f"{reader.address}/servers/")
    told = page.locator("#servers .note", has_text="far-2 shows another host key.")
    told.get_by_role("link", name="Look at it").click()
    accept_key(reader, ssh_server, button="Compare and accept the new key")
    reader.wait_for_badge("Online")
    expect(alarm).to_have_count(0)
    assert reader.complaints == []


def set_slots(page: Page, path: str, slots: str) -> str:
    """Let the server of this page run so many builds at once; how many it was."""
    page.goto(f"{path}edit/")
    field = page.get_by_label("Builds at once")
    before = field.input_value()
    field.fill(slots)
    field.press("Control+Enter")
    page.wait_for_url(path)
    return before


def test_a_drain_under_a_build_says_what_it_does_before_and_after(
    reader: Reader, repository: Path, tmp_path: Path
) -> None:
    page, go = reader.page, tmp_path / "go"
    page.goto(f"{reader.address}/servers/")
    page.get_by_role("link", name="local").click()
    page.wait_for_url(re.compile(r"/servers/[0-9a-f-]{36}/$"))
    where = page.url
    slots = set_slots(page, where, "1")
    holds = f"while [ ! -e {go} ]; do sleep 0.1; done"
    runs = reader.submit(repository, holds)
    reader.wait_for_badge("Running")
    waits = reader.submit(repository, holds)
    page.goto(where)

    page.get_by_role("link", name="Drain").click()
    preview = page.locator("#drain-preview")
    expect(preview).to_contain_text("1 build still runs there")
    expect(preview.locator("[data-still] a")).to_have_attribute("href", runs)
    expect(preview).to_contain_text("1 waiting job fits no other server, so it waits until this one is back")
    expect(preview.locator("[data-stranded] a")).to_have_attribute("href", waits)
    expect(preview.locator("[data-waits]")).to_be_visible()
    page.get_by_label("Why").fill("new disks")
    page.get_by_label("Until, in UTC").fill("2999-01-01T14:00")
    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_text("Give a time that is still to come, within a year")).to_be_visible()

    page.get_by_role("link", name="Drain").click()
    page.get_by_label("Why").fill("new disks")
    until = datetime.now(UTC) + timedelta(days=2)
    page.get_by_label("Until, in UTC").fill(f"{until:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Drain").click()
    draining = page.locator("#draining")
    expect(draining).to_contain_text(f"by admin. It takes no new builds until {until:%Y-%m-%d %H:%M}")
    expect(draining).to_contain_text("new disks 1 build still runs there")
    expect(draining.locator("[data-still] a")).to_have_attribute("href", runs)

    go.touch()
    expect(draining).to_contain_text("Nothing runs there now.")
    page.goto(reader.address + waits)
    reader.wait_for_badge("Queued")
    expect(page.locator("#job")).to_contain_text("Is draining: new disks.")
    page.goto(where)
    page.get_by_role("button", name="End draining").click()
    expect(draining).to_have_count(0)
    page.goto(reader.address + waits)
    reader.wait_for_badge("Completed")
    set_slots(page, where, slots)
    assert reader.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_of_servers_scrolls_sideways(browser: Browser, board: RunningBoard, width: int) -> None:
    person = Reader(browser, board, width=width)
    person.page.goto(f"{person.address}/servers/")
    path = person.page.get_by_role("link", name="local").get_attribute("href")

    for address in ("/servers/", "/servers/new/", *(f"{path}{part}" for part in ("", "edit/", "delete/"))):
        person.page.goto(person.address + address)
        assert (address, person.sideways) == (address, 0)
    assert person.complaints == []
    person.context.close()
