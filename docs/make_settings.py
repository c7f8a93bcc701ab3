"""Write docs/settings.md from the rules in mlpipe.settings: ``.venv/bin/python -m docs.make_settings``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

from mlpipe import settings

TARGET = Path(__file__).resolve().parent / "settings.md"

HEAD = """# Settings

Every setting is an environment variable; there is no settings file. They are read once, at the start. A variable that
begins with `MLPIPE_` and is not listed here, or a value outside its range, ends the start with a message that names
it; all faults are named at once.

```sh
MLPIPE_WINDOW_SIZE=500 MLPIPE_CHECK_INTERVAL=60 make run
```

This page is made from the rules in `mlpipe/settings.py` by `.venv/bin/python -m docs.make_settings`; edit those, not
this.
"""

TAIL = """
## Checked together

- `MLPIPE_MIN_SAMPLES` must not be above `MLPIPE_WINDOW_SIZE`: no window could ever be tested.
- `MLPIPE_DATABASE_URL` must begin with `sqlite:///`, `postgresql://` or `postgresql+psycopg://`. A message never
  repeats it, since it may hold a password.
- `MLPIPE_WEBHOOK_URLS` must hold `http://` or `https://` addresses without spaces, each once, at most 10;
  `MLPIPE_WEBHOOK_SECRET` must be empty or have 16 printable characters. Neither is ever repeated.
"""

SECTIONS = {
    "home": "Where it runs",
    "threshold": "Drift",
    "n_estimators": "Model and retraining",
    "checks_silent_s": "Incidents and messages",
    "reload_interval_s": "Workers, limits, logs",
}
"""Heading -> stands before the setting of this name."""

TABLE = "| Variable | Type | Unit | Range | Default | What it is, and why |\n|---|---|---|---|---|---|"
TYPES: dict[Any, str] = {Path: "path", str: "text", int: "whole number", float: "number", bool: "true or false"}
DEFAULTS: dict[str, str] = {"home": "the checkout"}


def document() -> str:
    """Return the whole page."""
    lines = [HEAD]
    for name, rule in settings.rules().items():
        if name in SECTIONS:
            lines.append(f"{'' if name == 'home' else chr(10)}## {SECTIONS[name]}\n\n{TABLE}")
        lines.append(row(name, rule))
    return "\n".join(lines) + "\n" + TAIL


def row(name: str, rule: settings.Rule) -> str:
    """Return the table row of one setting."""
    kind = TYPES[get_type_hints(settings.Settings)[name]]
    cells = (f"`{settings.variable(name)}`", kind, rule.unit or "–", allowed(rule), default(name), rule.reason)
    return f"| {' | '.join(cells)} |"


def allowed(rule: settings.Rule) -> str:
    """Return what values a setting may have, in words."""
    if rule.choices:
        return ", ".join(f"`{choice}`" for choice in rule.choices)
    if rule.low is None or rule.high is None:
        return "–"
    return f"{number(rule.low)} to {number(rule.high)}"


def default(name: str) -> str:
    """Return the default of a setting as one would type it."""
    if name in DEFAULTS:
        return DEFAULTS[name]
    value = getattr(settings.Settings(), name)
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f"`{value if isinstance(value, str) else number(value)}`" if value != "" else "empty"


def number(value: float) -> str:
    """Return a number without a needless fraction.

    Examples
    --------
    >>> number(300.0), number(0.05), number(1e-09)
    ('300', '0.05', '1e-09')
    """
    return str(int(value)) if value == int(value) else f"{value:g}"


if __name__ == "__main__":
    TARGET.write_text(document())
    print(f"{TARGET.name}: {len(settings.rules())} settings")
