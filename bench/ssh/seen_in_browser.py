"""From a line printed by a build over SSH to the frame of a browser that shows it, with one viewer and with 50.

The browser is Chromium with the job's page open. The other 49 are WebSocket clients, whose own delays stand beside its.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser
from websockets.asyncio.client import connect

from bench.measure import Figure, Setting, ended_at, show
from bench.ssh.board import SshBoard, ssh_board
from bench.ssh.seen import COMMAND, delays, straight
from tests.browsers import Reader, chromium

LINES = 200
VIEWERS = 50
CONNECT_SECONDS = 30.0
SETTLE_MS = 3000  # until page and runner know that somebody watches, and are in step
# Rows are used again and again, so all that are drawn are looked at, before the frame with the change is painted.
NOTE = r"""() => {
  window.printedToSeen = new Map();
  const note = () => {
    const now = Date.now() / 1000;
    for (const row of document.querySelectorAll("bb-log .lx")) {
      const printed = /^stamp ([0-9.]+) end$/.exec(row.textContent)?.[1];
      if (printed && !printedToSeen.has(printed)) printedToSeen.set(printed, now - Number(printed));
    }
  };
  const watcher = new MutationObserver(() => requestAnimationFrame(note));
  watcher.observe(document.querySelector("bb-log"), { childList: true, characterData: true, subtree: true });
}"""
NOTED = "() => [...printedToSeen.values()]"


def run(setting: Setting) -> None:
    """Print p50 and p95 over 200 lines, up to 0.7 s apart, for each number of viewers, beside `ssh` itself."""
    count = setting.times(LINES)
    lines = COMMAND.format(count)
    with ssh_board(setting) as bench, chromium() as browser:
        alone, _ = _watch(bench, browser, lines, others=0)
        among, others = _watch(bench, browser, lines, others=VIEWERS - 1)
        direct = Figure("ssh host, kept connection, read as it comes", straight(bench, lines))
    assert (len(alone), len(among)) == (count, count), "not every line was seen"
    print("a line printed by a build over SSH to seen in the browser, on a job's page")
    show(Figure("in the browser, one viewer", alone), beside=[direct])
    clients = Figure(f"the other {VIEWERS - 1}, WebSocket clients", others)
    show(Figure(f"in the browser, {VIEWERS} viewers", among), beside=[clients, direct])


def _watch(bench: SshBoard, browser: Browser, lines: str, *, others: int) -> tuple[list[float], list[float]]:
    """The delays in the browser, and those of the other viewers. The first line waits until all watch."""
    board, go = bench.board, bench.folder / f"go-{others}"
    job_id = board.submit(bench.repository, build_command=f"{_until(go)}; {lines}")
    board.wait_for(lambda: board.job(job_id)["status"] == "running", what="it runs", seconds=60)
    reader = Reader(browser, board, password=board.password)
    try:
        reader.page.goto(f"{board.url}/jobs/{job_id}/")
        reader.page.locator("[data-stream]", has_text="building").wait_for()
        reader.page.evaluate(NOTE)
        with _viewers(bench, job_id, count=others) as heard:
            reader.page.wait_for_timeout(SETTLE_MS)
            go.touch()
            ended_at(board, job_id)
            reader.page.locator("[data-stream]", has_text="complete").wait_for()
            reader.page.wait_for_timeout(SETTLE_MS)
            return list(reader.page.evaluate(NOTED)), heard.result()
    finally:
        reader.context.close()


def _until(path: Path) -> str:
    return f'while [ ! -e "{path}" ]; do sleep 0.1; done'


@contextmanager
def _viewers(bench: SshBoard, job_id: str, *, count: int) -> Iterator[Future[list[float]]]:
    """So many clients that are connected; what they will have heard when the log has ended."""
    ready = threading.Semaphore(0)
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(lambda: asyncio.run(_hear_all(bench, job_id, count=count, ready=ready)))
        for _ in range(count):
            assert ready.acquire(timeout=CONNECT_SECONDS), "a viewer could not connect"
        yield heard


async def _hear_all(bench: SshBoard, job_id: str, *, count: int, ready: threading.Semaphore) -> list[float]:
    heard = await asyncio.gather(*(_hear(bench, job_id, ready) for _ in range(count)))
    return [delay for one in heard for delay in one]


async def _hear(bench: SshBoard, job_id: str, ready: threading.Semaphore) -> list[float]:
    url = f"ws://127.0.0.1:{bench.board.port}/ws/jobs/{job_id}/log"
    headers = {"Authorization": f"Bearer {bench.board.token}"}
    seconds: list[float] = []
    async with connect(url, additional_headers=headers, max_size=None) as socket:
        ready.release()
        async for message in socket:
            frame = json.loads(message)
            if frame["type"] == "log":
                seconds += delays(frame["text"].splitlines())
    return seconds
