"""kill -9 fifty times while a version learns: is its state that of an undisturbed run?

python benchmarks/killed_learner.py [--kills 50]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests.flow import killed_learner  # noqa: E402
from tests.server import Server  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "home")
        try:
            learned = killed_learner.killed_while_learning(server, np.random.default_rng(7), kills=options.kills)
        finally:
            server.stop()
        rebuilt, whole, held = killed_learner.states(server)
    equal = sum(rebuilt[name] == whole[name] for name in whole)
    print(f"{options.kills} kills, {learned:,} labels learned, {held} steps held back")
    print(f"{equal} of {len(whole)} arrays of the state are equal bit for bit to those of an undisturbed run")
    if equal < len(whole):
        sys.exit("The state differs.")


if __name__ == "__main__":
    main()
