"""Repositories of one folder over git's smart HTTP on loopback: git's own `http-backend` behind a tiny CGI server.

It asserts nothing. A request with a body in chunks is none that small fetches make.
"""

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

_ASKED = {
    "Content-Type": "CONTENT_TYPE",
    "Content-Length": "CONTENT_LENGTH",
    "Content-Encoding": "HTTP_CONTENT_ENCODING",
}


class GitHttpServer(ThreadingHTTPServer):
    """`with GitHttpServer(folder) as server:` serves what is below the folder at `server.url`.

    knows_v2: whether it hears which protocol a client wishes; a server that does not speaks version 0.
    locked: whether it asks everybody for a name and a password.
    """

    daemon_threads = True

    def __init__(self, folder: Path, *, knows_v2: bool = True, locked: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Cgi)
        self.folder = folder
        self.knows_v2 = knows_v2
        self.locked = locked
        self.protocols: set[str] = set()
        """Those that clients wished for and got."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Of the folder."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(10)


class _Cgi(BaseHTTPRequestHandler):
    server: GitHttpServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        if self.server.locked:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            **{name: self.headers[header] for header, name in _ASKED.items() if self.headers[header]},
        }
        if self.server.knows_v2 and self.headers["Git-Protocol"]:
            environment["GIT_PROTOCOL"] = self.headers["Git-Protocol"]
            self.server.protocols.add(self.headers["Git-Protocol"])
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        )
        self._pass_on(done.stdout)

    def _pass_on(self, said: bytes) -> None:
        head, _, content = said.partition(b"\r\n\r\n")
        lines = [line.partition(":") for line in head.decode().splitlines()]
        headers = {name: value.strip() for name, _, value in lines}
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""
