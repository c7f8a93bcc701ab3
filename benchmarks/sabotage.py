"""A version that answers the opposite is forced live under load with four workers, labels coming in.

    python benchmarks/sabotage.py [--runs 5] [--no-labels]      half a minute a run

It must be rolled back by itself, without a failed request, and both switches must stand in the history.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests.flow import streams, test_sabotage, test_workers  # noqa: E402
from tests.server import Server, wait_for  # noqa: E402


def run(seed: int, *, labels: bool) -> None:
    """Start a server, sabotage it, and print what was seen."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "home")
        try:
            server.start(**test_workers.FOUR)
            wait_for(lambda: len(streams.serving(server)) == 4)
            streams.train_first(server, rng)
            found = test_sabotage.force_live(server, rng, labels=labels)
        finally:
            server.stop()
    print(
        f"seed {seed}: rolled back {found.seconds:.1f} s after the deploy; {sum(found.answers.values()):,} answers, "
        f"{found.answers[2]:,} of them by the sabotaged version, {len(found.callers.failures)} failures"
    )
    for row in found.history[:2]:
        print(f"    {row['kind']} of version {row['version']} by {row['by']}: {row['reason']}")


def main() -> None:
    """Run it with some seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-labels", action="store_true")
    options = parser.parse_args()
    for seed in range(options.runs):
        run(seed, labels=not options.no_labels)


if __name__ == "__main__":
    main()
