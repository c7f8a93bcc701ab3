"""A small load generator: some keep-alive connections, one request in flight on each, one thread."""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Result:
    """What a run of some seconds saw."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failures: int


def run(port: int, path: str, body: bytes, *, seconds: float, connections: int = 8) -> Result:
    """Send the same POST again and again over some connections."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    request = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    latencies: list[float] = []
    failures = 0
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(one, selectors.EVENT_READ, bytearray())
        sent[one] = time.perf_counter()
        one.sendall(request)
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        for key, _ in selector.select(timeout=1):
            one, answer = key.fileobj, key.data
            piece = one.recv(1 << 16)
            if not piece:
                raise ConnectionError(f"port {port} closed a connection")
            answer += piece
            if not _whole(answer):
                continue
            latencies.append(time.perf_counter() - sent[one])
            failures += not answer.startswith(b"HTTP/1.1 200")
            answer.clear()
            sent[one] = time.perf_counter()
            one.sendall(request)
    elapsed = time.perf_counter() - started
    for one in sent:
        selector.unregister(one)
        one.close()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return Result(len(latencies) / elapsed, float(p50), float(p99), failures)


def _whole(answer: bytearray) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    for line in bytes(answer[:end]).split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(answer) >= end + 4 + int(line.split(b":")[1])
    raise ValueError("an answer without Content-Length")
