"""A real HTTP server on 127.0.0.1 that takes messages and answers as it is told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = int | Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Receiver:
    """What came, and what is answered: the first of `answers`, then 200."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]

    @property
    def events(self) -> list[str]:
        return [message["event"] for message in self.messages]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yield a receiver; it ends with the block."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with made.lock:
                made.got.append((self.path, dict(self.headers), body))
                answer = made.answers.pop(0) if made.answers else 200
            if not isinstance(answer, int):
                answer(self)
                return
            self.send_response(answer)
            self.end_headers()
            self.wfile.write(b"said so" if answer >= 400 else b"")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hmac_sha256(key: bytes, said: bytes) -> str:
    """Return the HMAC by its definition (RFC 2104), without Python's own."""
    block = key if len(key) <= 64 else hashlib.sha256(key).digest()
    block = block.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(one ^ 0x36 for one in block) + said).digest()
    return hashlib.sha256(bytes(one ^ 0x5C for one in block) + inner).hexdigest()
