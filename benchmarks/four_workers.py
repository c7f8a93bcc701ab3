"""Four workers for a minute with a check each second: each slot once; a deploy under load; nothing fails."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests.flow import streams, test_workers  # noqa: E402
from tests.server import Server, wait_for  # noqa: E402


def main() -> None:
    """Run the minute and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "home")
        try:
            server.start(**test_workers.FOUR)
            wait_for(lambda: len(streams.serving(server)) == 4)
            test_workers.two_versions(server, np.random.default_rng(7))
            first = len(test_workers.slots_of(server))
            started = time.monotonic()
            time.sleep(options.seconds)
            report(test_workers.slots_of(server)[first:], time.monotonic() - started)
            old_s, callers = test_workers.deploy_under_load(server, 1)
            print(f"deploy under load: {len(callers.versions):,} answers, {len(callers.failures)} failures,")
            print(f"last answer of the old version {old_s:.2f} s after the deploy")
            print(f"workers serve {streams.serving(server)}")
        finally:
            server.stop()


def report(slots: list[int], seconds: float) -> None:
    """Say how many slots ran, how many twice, how many not at all."""
    twice = len(slots) - len(set(slots))
    missed = slots[-1] - slots[0] + 1 - len(set(slots))
    print(f"{seconds:.0f} s, 4 workers, a check each second: {len(slots)} slots ran, {twice} twice, {missed} missed")


if __name__ == "__main__":
    main()
