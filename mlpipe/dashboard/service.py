"""From the database to a page: read once, conclude, draw."""

from __future__ import annotations

import csv
import functools
import gzip
import importlib.metadata
import importlib.util
import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlpipe import clock, db, errors
from mlpipe.dashboard import charts, pages, store
from mlpipe.dashboard.picture import Picture
from mlpipe.settings import Settings


def page(settings: Settings, health: Mapping[str, Any]) -> pages.Overview | pages.Empty:
    """Return the overview, or the empty state while no version serves.

    Raises
    ------
    errors.StoreUnavailable
        The database does not answer.
    """
    return pages.page_of(_read(settings), settings, health)


def _read(settings: Settings) -> Picture:
    with db.reading() as connection:
        return store.read(connection, now_us=clock.now_us(), min_samples=settings.min_samples)


def chart_csv(name: str, settings: Settings) -> str:
    """Return the data of one chart as CSV.

    Raises
    ------
    errors.InvalidQuery
        There is no chart of this name.
    """
    if name not in charts.CHARTS:
        raise errors.InvalidQuery(f"?chart={errors.quoted(name)} must be one of {', '.join(charts.CHARTS)}.")
    made = charts.CHARTS[name](_read(settings), settings)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(itertools.chain([made.header], made.rows))
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class Script:
    """Plotly's script as it is sent."""

    version: str
    plain: bytes
    gzipped: bytes


def plotly_version() -> str:
    """Return the version of the installed plotly package."""
    return importlib.metadata.version("plotly")


@functools.cache
def plotly_script() -> Script:
    """Read plotly.min.js out of the installed package and compress it, once a process (about 0.2 s, 6 MB)."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise errors.NotFound("The package plotly is not installed; install requirements.txt.")
    plain = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    return Script(plotly_version(), plain, gzip.compress(plain, 6, mtime=0))
