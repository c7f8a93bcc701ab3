"""Passes connections on to a port, or cuts them: a server that can be away, or go away in the middle."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from types import TracebackType
from typing import Self


class Relay:
    """Listens on a port of its own; `admits` connections are still passed on, others are closed at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.admits: float = math.inf
        self.n_asked = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.n_asked += 1
                self.admits -= 1
                if self.admits < 0:
                    client.close()
                else:
                    self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        """Let one request through; mlpipe opens a connection for each, one after the other."""
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=_copy, args=(server, client))
            forth = threading.Thread(target=_copy, args=(client, server))
            back.start()
            forth.start()
            back.join()
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            forth.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
