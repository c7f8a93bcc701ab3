from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from mlpipe import cores
from tests.server import Server

needs_cores = pytest.mark.skipif(not cores.ALLOWED, reason="this system does not tell which cores a process may use")


def test_a_new_worker_gets_the_core_that_nobody_has() -> None:
    assert cores.least_taken([0, 2, 0], among=(0, 1, 2)) == 1


def test_more_workers_than_cores_are_spread() -> None:
    taken: list[int | None] = []
    for _ in range(6):
        taken.append(cores.least_taken(taken, among=(0, 1, 2)))
    assert sorted(taken, key=str) == [0, 0, 1, 1, 2, 2]


def test_a_single_core_is_no_choice() -> None:
    assert cores.least_taken([], among=(3,)) is None


@needs_cores
def test_a_process_keeps_to_its_core_and_is_set_free_again() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        cores.keep_to(cores.ALLOWED[:1], process=child.pid)
        assert os.sched_getaffinity(child.pid) == set(cores.ALLOWED[:1])
        cores.keep_to(cores.ALLOWED, process=child.pid)
        assert os.sched_getaffinity(child.pid) == set(cores.ALLOWED)
    finally:
        child.communicate(b"\n")


@needs_cores
def test_a_process_that_is_gone_is_no_fault() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    cores.keep_to(cores.ALLOWED, process=child.pid)


@pytest.mark.skipif(len(cores.ALLOWED) < 2, reason="one core is no choice")
def test_two_workers_of_a_server_keep_to_two_cores(server: Server) -> None:
    server.start(WEB_CONCURRENCY="2")
    assert server.process is not None
    workers = psutil.Process(server.process.pid).children()
    kept = [tuple(worker.cpu_affinity()) for worker in workers]
    assert sorted(map(len, kept)) == [1, 1]
    assert len(set(kept)) == 2


@needs_cores
def test_workers_roam_when_the_setting_says_so(server: Server) -> None:
    server.start(MLPIPE_PIN_WORKERS="false")
    assert server.process is not None
    (worker,) = psutil.Process(server.process.pid).children()
    assert set(worker.cpu_affinity()) == set(cores.ALLOWED)
