"""How far the year is: a bar on a terminal; elsewhere a line a month."""

from __future__ import annotations

from typing import TextIO

WIDTH = 24


class Progress:
    """Show how many of n flights have passed."""

    def __init__(self, n: int, out: TextIO) -> None:
        self._n, self._out, self._month = n, out, ""
        self._bar = out.isatty()

    def show(self, done: int, month: str, words: str) -> None:
        """Show how far it is."""
        line = f"{month}  {done:>6,} of {self._n:,} flights  {words}"
        if self._bar:
            filled = WIDTH * done // self._n
            print(f"\r\x1b[K[{'#' * filled}{'.' * (WIDTH - filled)}] {line}", end="", file=self._out, flush=True)
        elif month != self._month:
            print(f"  {line}", file=self._out, flush=True)
        self._month = month

    def end(self) -> None:
        """Leave the line."""
        if self._bar:
            print(file=self._out)
