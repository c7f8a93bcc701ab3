"""Run something in several threads at once, each with an app context of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask


def at_once(app: Flask, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Return what `work` returned for each item, or the exception that it raised; all begin together."""
    listed = list(items)
    barrier = threading.Barrier(len(listed))

    def run(item: Any) -> Any:
        with app.app_context():
            barrier.wait(30)
            try:
                return work(item)
            except Exception as fault:  # noqa: BLE001  the test looks at it
                return fault

    with ThreadPoolExecutor(len(listed)) as pool:
        return list(pool.map(run, listed))


def faults(results: Iterable[Any]) -> list[Exception]:
    """Return the exceptions among the results."""
    return [result for result in results if isinstance(result, Exception)]
