"""A job's log in a real browser: watched as it grows, looked back at, linked to, searched, folded, copied."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.boards import RunningBoard
from tests.browsers import WAIT_MS, Reader
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# What a browser says of its own accord while the board is away on purpose.
AWAY = ("WebSocket connection to", "Failed to load resource", "net::ERR")
# In one step: rows are used again and again, for other lines.
ROWS = """() => [...document.querySelectorAll("bb-log .ll:not(.ph)")]
  .map((row) => [row.querySelector(".ln").textContent, row.querySelector(".lx").textContent])"""
# Of a page that is opened the lines come later than the outline.
LINES_COME_LAST = """
  const real = window.fetch;
  window.fetch = async (address, ...more) => {
    const hasOutline = () => document.querySelector("bb-log")?.feed?.hasOutline;
    while (String(address).includes("/log/lines") && !hasOutline()) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return real(address, ...more);
  };
"""
# Its lines are there, and the last one ends where the pane does.
IS_AT_END = """() => {
  const log = document.querySelector("bb-log");
  const ends = [...log.querySelectorAll(".ll")].map((row) => row.getBoundingClientRect().bottom);
  const edge = log.querySelector("[data-scroll]").getBoundingClientRect().bottom;
  return !log.querySelector(".ll.ph") && Math.abs(Math.max(...ends) - edge) < 2;
}"""
# A page on, and drawn there: until then the rows are those of the page before.
PAGE_ON = """async (element) => {
  element.scrollTop += element.clientHeight / 2;
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
}"""


def shown(reader: Reader) -> dict[int, str]:
    """The lines that are drawn now, by number."""
    return {int(number): text for number, text in reader.page.evaluate(ROWS)}


def read_all(reader: Reader) -> dict[int, str]:
    """Every line that is not folded away, by paging through the log from its start to its end."""
    scroller = reader.page.locator("[data-scroll]")
    scroller.press("Home")
    wait_for(lambda: 1 in shown(reader), what="the first line")
    total = int(reader.page.locator("[data-total]").inner_text().split()[0].replace(",", ""))
    lines: dict[int, str] = {}

    def look() -> bool:
        if reader.page.locator("bb-log .ll.ph").count():
            return False
        lines.update(shown(reader))
        scroller.evaluate(PAGE_ON)
        return total in lines

    wait_for(look, what=lambda: f"{len(lines)} of {total} lines", seconds=60)
    return lines


def numbers(lines: dict[int, str]) -> list[int]:
    """The lines that are nothing but a number, in the order of the log."""
    return [int(text) for _, text in sorted(lines.items()) if text.isdigit()]


def wait_for_end(reader: Reader) -> None:
    """Until the log has ended and the viewer knows."""
    expect(reader.page.locator("[data-stream]")).to_have_text("complete", timeout=2 * WAIT_MS)


def test_a_build_is_watched_to_its_end(reader: Reader, repository: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    waits = f"while [ ! -e {go} ]; do sleep 0.1; done"
    reader.submit(
        repository,
        f"printf '\\033[31mred\\033[0m <b>bold</b>\\n 10%%\\r100%%\\n'; {waits}; seq 1 20000; exit 3",
    )

    reader.page.locator(".lx", has_text="red <b>bold</b>").last.wait_for()
    expect(reader.page.locator(".lx .f1", has_text="red")).to_have_count(1)  # the command is in the log, too
    assert "100%" in shown(reader).values()
    go.touch()
    reader.wait_for_badge("Failed")
    wait_for_end(reader)
    reader.page.locator("[data-scroll]").press("End")
    reader.page.locator(".lx", has_text="20000").wait_for()
    seen = numbers(shown(reader))
    assert seen == list(range(seen[0], 20001))
    assert reader.page.locator("bb-log .ll").count() < 60
    assert reader.page.locator("#job").get_attribute("data-poll") == "10000"
    assert reader.complaints == []


def check_a_phone_stands_at_the_end(reader: Reader, path: str) -> None:
    """Where lines wrap, their heights are known only when they are there: here later than all else."""
    page = reader.context.new_page()
    page.set_viewport_size({"width": 390, "height": 800})
    page.add_init_script(LINES_COME_LAST)
    page.goto(f"{reader.address}{path}")

    page.wait_for_function(IS_AT_END)
    page.close()


def test_a_reader_who_looks_back_is_left_where_they_are(
    reader: Reader, repository: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    wide = "seq -s ' ' 300"
    path = reader.submit(
        repository, f"seq 1 500; {wide}; while [ ! -e {go} ]; do sleep 0.1; done; seq 501 700"
    )
    reader.page.locator(".lx", has_text="500").wait_for()
    check_a_phone_stands_at_the_end(reader, path)
    follow = reader.page.locator("[data-act=follow]")
    expect(follow).to_have_attribute("aria-pressed", "true")
    reader.page.locator("[data-scroll]").evaluate("element => { element.scrollTop = 200; }")
    expect(follow).to_have_attribute("aria-pressed", "false")
    expect(reader.page.locator("bb-log .ll.ph")).to_have_count(0)
    before = shown(reader)

    go.touch()
    pill = reader.page.locator("[data-pill]")
    expect(pill).to_be_visible()
    reader.wait_for_badge("Completed")
    wait_for_end(reader)

    assert reader.scroll_top == 200
    assert shown(reader) == before
    pill.click()
    expect(pill).to_be_hidden()
    reader.page.locator(".lx", has_text="700").wait_for()
    assert numbers(read_all(reader)) == list(range(1, 701))
    assert reader.complaints == []


def test_a_link_to_lines_opens_them_and_names_the_attempt(reader: Reader, repository: Path) -> None:
    path = reader.submit(repository, "seq 1 6000")
    reader.wait_for_badge("Completed")
    wait_for_end(reader)

    reader.page.goto("about:blank")
    reader.page.goto(f"{reader.address}{path}?attempt=1#L4000-L4002")
    chosen = reader.page.locator("bb-log .ll.sel")
    expect(chosen).to_have_count(3)
    expect(chosen.first).to_be_in_viewport()
    expect(chosen.first.locator(".ln")).to_have_text("4000")
    reader.page.locator("bb-log .ln", has_text="4005").click(modifiers=["Shift"])
    expect(chosen).to_have_count(6)

    assert reader.page.url == f"{reader.address}{path}?attempt=1#L4000-L4005"
    reader.page.locator("[data-act=copy-lines]").click()
    expect(reader.page.locator("[data-act=copy-lines]")).to_have_text("Copied")
    reader.page.locator("[data-q]").press("Control+V")
    pasted = reader.page.locator("[data-q]").input_value()
    first = int(chosen.first.locator(".lx").inner_text())
    assert pasted.split() == [str(number) for number in range(first, first + 6)]
    assert reader.complaints == []


def test_two_taps_choose_a_range_and_the_next_begins_anew(
    browser: Browser, reader: Reader, repository: Path
) -> None:
    path = reader.submit(repository, "seq 1 6000")
    reader.wait_for_badge("Completed")
    state = reader.context.storage_state()
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, storage_state=state)
    page = context.new_page()
    page.goto(f"{reader.address}{path}#L4000")
    chosen, tap = page.locator("bb-log .ll.sel"), page.locator("[data-next-tap]")
    expect(chosen).to_be_in_viewport()
    expect(tap).to_be_hidden()
    # Rows are used again and again: they stay where they are once all is there.
    page.wait_for_function("() => document.querySelector('bb-log').feed.hasOutline")
    expect(page.locator("bb-log .ll.ph")).to_have_count(0)

    addresses = []
    for number in (4003, 4001, 4002):
        page.locator("bb-log .ln", has_text=f"{number}").tap()
        addresses.append(page.url.removeprefix(f"{reader.address}{path}"))

    assert addresses == ["?attempt=1#L4003", "?attempt=1#L4001-L4003", "?attempt=1#L4002"]
    expect(chosen).to_have_count(1)
    expect(tap).to_be_visible()
    context.close()


def test_the_hits_of_a_search_grow_with_the_log_and_the_reader_stays_at_theirs(
    reader: Reader, repository: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    reader.submit(
        repository,
        f"printf 'nee''dle\\n'; while [ ! -e {go} ]; do sleep 0.1; done; printf 'nee''dle\\n'; seq 300",
    )
    reader.page.locator(".lx", has_text="needle").wait_for()
    reader.page.locator("[data-q]").fill("needle")
    hits = reader.page.locator("[data-hits]")
    expect(hits).to_have_text("1 of 1")
    line = reader.page.locator("bb-log .ll.cur .ln").inner_text()

    go.touch()

    expect(hits).to_have_text("1 of 2")
    expect(reader.page.locator("bb-log .ll.cur .ln")).to_have_text(line)
    assert reader.complaints == []


def test_the_log_goes_on_where_it_was_when_the_web_process_was_killed(
    reader: Reader, board: RunningBoard, repository: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    reader.submit(repository, f"seq 1 300; while [ ! -e {go} ]; do sleep 0.1; done; seq 301 600")
    reader.page.locator(".lx", has_text="300").wait_for()

    board.leader("web").kill()
    expect(reader.page.locator("[data-stream]")).to_have_text("reconnecting")
    go.touch()
    reader.wait_for_badge("Completed")
    wait_for_end(reader)

    assert numbers(read_all(reader)) == list(range(1, 601))
    assert [text for text in reader.complaints if not text.startswith(AWAY)] == []


def test_a_failed_build_opens_at_the_error_that_its_card_names(reader: Reader, repository: Path) -> None:
    noise = "echo 'conftest.c:1: error: no such header'; seq 1 3000"
    path = reader.submit(
        repository, f"{noise}; echo 'main.c:5:9: error: what is this'; echo 'make: *** Error 2'; exit 2"
    )
    reader.wait_for_badge("Failed")
    reader.page.goto(f"{reader.address}{path}")

    row = reader.page.locator("bb-log .ll.m-error", has_text="main.c:5:9")
    row.wait_for()
    number = int(row.locator(".ln").inner_text())
    card = reader.page.get_by_label("Why it failed")
    expect(card).to_contain_text("main.c:5:9: error: what is this")
    expect(card.get_by_role("link")).to_have_text(f"line {number:,}")
    reader.page.locator("[data-scroll]").press("Home")
    card.get_by_role("link").click()
    expect(row).to_be_in_viewport()
    expect(row).to_have_class("ll m-error sel")
    assert reader.complaints == []


def test_the_whole_log_is_searched_from_the_keyboard(reader: Reader, repository: Path) -> None:
    reader.submit(repository, "seq 1 5000; echo 'a <needle> here'; seq 5001 9000; echo NEEDLE; seq 9001 9999")
    reader.wait_for_badge("Completed")
    wait_for_end(reader)
    scroller = reader.page.locator("[data-scroll]")
    scroller.press("Home")
    scroller.press("/")
    reader.page.keyboard.type("needle")

    hits = reader.page.locator("[data-hits]")
    expect(hits).to_have_text("1 of 3")  # the command itself is in the log
    reader.page.keyboard.press("Enter")
    expect(hits).to_have_text("2 of 3")
    expect(reader.page.locator("bb-log .ll.cur .lx")).to_have_text("a <needle> here")
    reader.page.keyboard.press("Shift+Enter")
    expect(hits).to_have_text("1 of 3")
    reader.page.keyboard.press("Escape")
    expect(hits).to_have_text("")
    assert scroller.evaluate("element => element === document.activeElement") is True
    scroller.press("Control+f")
    reader.page.keyboard.type("nothing like it")
    expect(hits).to_have_text("No matches")
    assert reader.complaints == []


def test_groups_fold_and_their_list_leads_to_them(reader: Reader, repository: Path) -> None:
    reader.submit(
        repository,
        "echo before; echo '::group::Unpack <b>'; seq 1 400; echo '::endgroup::'; echo between; "
        "echo '::group::Compile'; seq 401 900; exit 1",
    )
    reader.wait_for_badge("Failed")
    wait_for_end(reader)
    reader.page.reload()
    scroller = reader.page.locator("[data-scroll]")
    step = reader.page.get_by_label("Steps in the log").get_by_role("link", name="Unpack <b>")
    step.click()
    head = reader.page.locator("bb-log .ll.grp", has_text="Unpack <b>")
    button = head.get_by_role("button")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(head).to_contain_text("401 lines")
    folded = shown(reader)
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    opened = shown(reader)

    first = int(head.locator(".ln").inner_text())
    assert folded[first + 402] == "between"
    assert opened[first + 1] == "1"
    scroller.press("w")
    expect(reader.page.locator("[data-act=wrap]")).to_have_attribute("aria-pressed", "true")
    scroller.press("t")
    scroller.press("t")
    expect(reader.page.locator("[data-act=ts]")).to_have_attribute("aria-pressed", "false")
    scroller.press("G")
    reader.page.locator(".lx", has_text="900").wait_for()
    assert reader.complaints == []


def test_the_log_is_not_touched_by_a_poll(reader: Reader, repository: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    reader.submit(repository, f"seq 1 2000; while [ ! -e {go} ]; do sleep 0.1; done")
    reader.page.locator(".lx", has_text="2000").wait_for()
    reader.page.locator("[data-scroll]").evaluate("element => { element.scrollTop = 4000; }")
    reader.page.locator("bb-log .ll:not(.ph) .lx", has_text="205").wait_for()
    reader.page.locator("bb-log").evaluate("element => { element.mark = 'same'; }")
    before = shown(reader)

    go.touch()
    reader.wait_for_badge("Completed")

    assert reader.page.locator("bb-log").evaluate("element => element.mark") == "same"
    assert (reader.scroll_top, shown(reader)) == (4000, before)
    assert reader.complaints == []


def test_without_javascript_the_page_and_all_of_the_log_are_there(
    browser: Browser, reader: Reader, repository: Path
) -> None:
    path = reader.submit(repository, "seq 1 6000; exit 4")
    reader.wait_for_badge("Failed")
    context = browser.new_context(java_script_enabled=False, storage_state=reader.context.storage_state())
    page = context.new_page()
    page.goto(f"{reader.address}{path}")

    expect(page.locator(".ll .lx").last).to_be_visible()
    assert "6000" in page.locator(".ll .lx").all_text_contents()
    assert page.locator(".js-only:visible").count() == 0
    page.get_by_role("link", name="Events").click()
    expect(page.get_by_text("The build command failed with exit code 4.").last).to_be_visible()
    page.get_by_role("link", name="Log", exact=True).click()
    page.get_by_role("link", name="Paged view").click()
    page.get_by_role("link", name="Later").first.click()
    assert "6000" in page.locator(".ll .lx").all_text_contents()
    page.goto(f"{reader.address}{path}")
    page.get_by_role("link", name="Retry").click()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    context.close()
