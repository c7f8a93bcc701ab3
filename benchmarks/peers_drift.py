"""The drift rule beside alibi-detect's TabularDrift and Evidently's DataDriftPreset, on the same windows.

    python benchmarks/peers_drift.py --folder /tmp/peers             about 10 minutes, most of them Evidently's
    python benchmarks/peers_drift.py --folder /tmp/peers --quick     2 minutes
    python benchmarks/peers_drift.py --folder /tmp/peers --ours      this rule alone: half a minute, no environments

Each peer lives in an environment of its own in that folder, made at the first run (`python -m venv`, pip, 2 GB,
some minutes), and runs with its defaults in a process of its own. The windows are written there once and read
by all: 20 features, 10,000 reference rows, the newest 1,000 rows as the window; iid and AR(1) 0.9, as they are and with
one feature moved by 0.5 and by 1 sd. Not a part of the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drift_rule
import numpy as np

PEERS = Path(__file__).resolve().parent / "peers"
STREAMS = ("iid", "AR(1) 0.9")
SHIFTS_SD = (0, 0.5, 1)
"""As in `peers/rounds.py`, which runs where this file cannot."""

WINDOWS_A_REFERENCE = 4


@dataclass(frozen=True)
class Peer:
    """A script of `PEERS`, the packages that its environment holds, and what it is told."""

    script: str
    packages: tuple[str, ...]
    words: tuple[str, ...] = ()


TRIED = (
    Peer("mlpipe_rule.py", ()),
    Peer("mlpipe_rule.py", (), ("--whole",)),
    Peer("alibi_tabular.py", ("alibi-detect==0.13.0",)),
    Peer("evidently_preset.py", ("evidently==0.7.23", "pandas<3")),  # it does not start with pandas 3
)


def python_of(peer: Peer, folder: Path) -> Path:
    """Return the interpreter of a peer's environment; make it if it is not there."""
    if not peer.packages:
        return Path(sys.executable)
    environment = folder / Path(peer.script).stem
    python, ready = environment / "bin" / "python", environment / "ready"
    if not ready.exists():
        print(f"making {environment} with {', '.join(peer.packages)}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
        subprocess.run(install, check=True)
        ready.touch()
    return python


def write_windows(path: Path, n_references: int, seed: int = 11) -> None:
    """Draw references and later stretches of the same streams, each stretch as long as a check may want."""
    apart, given = drift_rule.APART, drift_rule.N_GIVEN
    arrays: dict[str, np.ndarray] = {}
    for place, name in enumerate(STREAMS):
        rng = np.random.default_rng([seed, place])
        n_rows = drift_rule.N_REFERENCE + apart * WINDOWS_A_REFERENCE
        drawn = [drift_rule.STREAMS[name](rng, n_rows) for _ in range(n_references)]
        ends = range(drift_rule.N_REFERENCE + apart, n_rows + 1, apart)
        arrays[f"{name}/references"] = np.stack([rows[: drift_rule.N_REFERENCE] for rows in drawn])
        arrays[f"{name}/windows"] = np.stack([[rows[end - given : end] for end in ends] for rows in drawn])
    np.savez(path, **arrays)


def run(peer: Peer, folder: Path, windows: Path) -> dict[str, Any]:
    """Return what the peer printed; one thread, so that times compare."""
    command = [str(python_of(peer, folder)), str(PEERS / peer.script), str(windows), *peer.words]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, env=alone, stdout=subprocess.PIPE, check=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the environments and windows are kept")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--ours", action="store_true", help="this rule alone")
    options = parser.parse_args()
    n_references = 2 if options.quick else 10
    options.folder.mkdir(parents=True, exist_ok=True)
    windows = options.folder / "windows.npz"
    write_windows(windows, n_references)
    cases = [f"{name} +{shift:g}" for name in STREAMS for shift in SHIFTS_SD]
    print(f"alarms in {n_references * WINDOWS_A_REFERENCE} windows of each kind")
    print(f"| | {' sd | '.join(cases)} sd | preparation, ms | check, ms |\n|{'---|' * (len(cases) + 3)}")
    versions: list[dict[str, str]] = []
    for peer in [peer for peer in TRIED if not (options.ours and peer.packages)]:
        told = run(peer, options.folder, windows)
        versions.append({"script": peer.script} | told["versions"])
        for rule, counts in told["alarms"].items():
            fired = " | ".join(str(counts[case]) for case in cases)
            print(f"| {rule} | {fired} | {told['setup_ms']:.1f} | {told['check_ms']:.1f} |", flush=True)
    print("\n".join(map(str, versions)))


if __name__ == "__main__":
    main()
