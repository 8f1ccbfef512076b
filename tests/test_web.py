"""The web process's limits, backpressure and end, with real connections."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from buildboard.listen import ListenError, open_socket, url_of

pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only]  # touches no database

ROOT = Path(__file__).parent.parent
WAIT_SECONDS = 20.0
TOO_LARGE = {"detail": "A request may have at most 4 MiB.", "code": "too_large"}


@dataclass
class Web:
    port: int
    process: "subprocess.Popen[bytes]"

    def ask(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        client = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        try:
            client.request(method, path, **options)
            answer = client.getresponse()
            return answer.status, answer.read()
        finally:
            client.close()

    def state(self) -> dict[str, int]:
        return dict(json.loads(self.ask("GET", "/state")[1]))

    def raw(self, data: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS)
        client.sendall(data)
        return client

    def sent_when_stuck(self) -> int:
        """What the application has sent, once that no longer grows."""
        before, still = -1, 0
        while still < 5:
            time.sleep(0.1)
            sent = self.state()["sent"]
            still = still + 1 if sent == before and sent else 0
            before = sent
        return before


@contextmanager
def serving(*limits: str) -> Iterator[Web]:
    with open_socket("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        descriptor = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.web_program", str(descriptor), *limits],
            pass_fds=[descriptor],
            cwd=ROOT,
        )
    try:
        yield Web(port, process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


def read_all(client: socket.socket) -> bytes:
    pieces = []
    with client:
        while piece := client.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


# ---- sizes ----------------------------------------------------------------------------------------------


def test_body_within_the_limit_reaches_the_application(web: Web) -> None:
    assert web.ask("POST", "/", body=b"x" * (4 << 20)) == (200, str(4 << 20).encode())


def test_announced_body_over_the_limit_is_refused_before_the_application(web: Web) -> None:
    before = web.state()["requests"]
    client = web.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4194305\r\nExpect: 100-continue\r\n\r\n")

    answer = read_all(client)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body) == TOO_LARGE
    assert web.state()["requests"] == before


def test_body_over_the_limit_that_is_sent_anyway_still_gets_the_answer(web: Web) -> None:
    status, body = web.ask("POST", "/", body=b"x" * (6 << 20))

    assert (status, json.loads(body)) == (413, TOO_LARGE)


def test_chunked_body_is_refused_when_it_passes_the_limit(web: Web) -> None:
    before = web.state()["requests"]

    status, body = web.ask("POST", "/", body=iter([b"x" * 65536] * 80), encode_chunked=True)

    assert (status, json.loads(body)) == (413, TOO_LARGE)
    assert web.state()["requests"] == before


def test_chunked_body_within_the_limit_is_counted_whole(web: Web) -> None:
    assert web.ask("POST", "/", body=iter([b"x" * 1000] * 50), encode_chunked=True) == (200, b"50000")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"X-Long: " + b"x" * 20_000 + b"\r\n", b"431"),
        (b"".join(b"X-%d: y\r\n" % number for number in range(150)), b"400"),
        ((b"X: " + b"y" * 5_000 + b"\r\n") * 5, b"400"),
    ],
    ids=["long", "many", "much"],
)
def test_headers_over_the_limit_are_refused(web: Web, head: bytes, status: bytes) -> None:
    before = web.state()["requests"]

    answer = read_all(web.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n"))

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert web.state()["requests"] == before


def test_answers_do_not_name_the_server(web: Web) -> None:
    client = web.raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert b"server:" not in read_all(client).lower()


def test_requests_on_one_connection_follow_each_other(web: Web) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert read_all(web.raw(request * 3 + last)).count(b"HTTP/1.1 200 ") == 4


# ---- times ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"GET / HTTP/1.1\r\nX-Slow: ", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 408 "),
        (b"", b""),
    ],
    ids=["header", "body", "nothing"],
)
def test_client_that_trickles_is_ended(data: bytes, answer: bytes) -> None:
    with serving("1", "1") as web:
        client = web.raw(data)
        client.settimeout(0.2)
        received = b""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            try:
                piece = client.recv(4096)
                if not piece:
                    break
                received += piece
            except TimeoutError:
                if data:
                    client.send(b"x")
            except ConnectionError:
                break
        else:
            pytest.fail("the connection was not ended")
        client.close()

        assert received.startswith(answer)
        assert web.state()["requests"] == 0


# ---- backpressure ---------------------------------------------------------------------------------------


def handshake(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    "request_bytes",
    [handshake("/flood"), b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["websocket", "http"],
)
def test_client_that_never_reads_makes_the_application_wait(request_bytes: bytes) -> None:
    with serving() as web:
        web.ask("GET", "/")
        resident = web.state()["resident_kib"]
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(("127.0.0.1", web.port))
        client.sendall(request_bytes)

        stuck_at = web.sent_when_stuck()

        assert stuck_at < 8 << 20  # of 120 MB; the kernel's buffers are the most of it
        assert web.state()["resident_kib"] - resident < 8 << 10
        client.close()


def test_client_that_never_reads_is_told_from_a_slow_one() -> None:
    with serving() as web:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        client.connect(("127.0.0.1", web.port))
        client.sendall(handshake("/flood"))
        until = time.monotonic() + 6
        while time.monotonic() < until:
            client.recv(8192)
            time.sleep(0.1)
        assert web.state()["stalled"] == 0

        while not web.state()["stalled"]:
            assert time.monotonic() < until + WAIT_SECONDS
            time.sleep(0.1)
        client.close()


def test_slow_reader_gets_everything_in_the_end(web: Web) -> None:
    with connect(f"ws://127.0.0.1:{web.port}/flood", max_queue=2) as client:
        received = sum(len(message) for message in client)

    assert received == 2000 * 60_000


def test_message_over_the_limit_closes_the_socket(web: Web) -> None:
    with connect(f"ws://127.0.0.1:{web.port}/") as client:
        client.send(b"x" * 70_000)

        with pytest.raises(ConnectionClosed) as closed:
            client.recv(WAIT_SECONDS)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_client_that_floods_a_consumer_is_closed(web: Web) -> None:
    with connect(f"ws://127.0.0.1:{web.port}/sleep") as client, pytest.raises(ConnectionClosed) as closed:
        for _ in range(5000):
            client.send("more")
        client.recv(WAIT_SECONDS)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


# ---- the end --------------------------------------------------------------------------------------------


def test_sigterm_finishes_answers_and_closes_sockets() -> None:
    with serving() as web:
        web.state()
        slow = web.raw(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        idle = web.raw(b"GET / HTTP/1.1\r\nHo")
        with connect(f"ws://127.0.0.1:{web.port}/sleep") as client:
            os.kill(web.process.pid, signal.SIGTERM)

            with pytest.raises(ConnectionClosed) as closed:
                client.recv(WAIT_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert read_all(slow).startswith(b"HTTP/1.1 200 ")
        assert web.process.wait(WAIT_SECONDS) == 0
        idle.close()


# ---- the listening socket -------------------------------------------------------------------------------


def test_port_in_use_is_one_sentence() -> None:
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ListenError) as refused:
            open_socket("127.0.0.1", port)

    said = f"port {port} of 127.0.0.1 is in use; stop what listens there, or choose another with --port"
    assert str(refused.value) == said


def test_host_that_is_not_here_is_one_sentence() -> None:
    with pytest.raises(ListenError) as refused:
        open_socket("192.0.2.1", 0)

    assert str(refused.value) == "--host: 192.0.2.1 is not an address of this machine"


def test_url_is_one_that_a_browser_can_open() -> None:
    with open_socket("0.0.0.0", 0) as listening:
        assert url_of(listening) == f"http://localhost:{listening.getsockname()[1]}/"
